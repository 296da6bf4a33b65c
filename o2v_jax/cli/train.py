"""`o2v train`: JSON Lines and hyperparameters in, a model directory out."""

import json
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from o2v_jax.cli.hyperparameters import HyperparameterCommand
from o2v_jax.cli.objective import make_objective, objective_options
from o2v_jax.cli.options import FILE, FOLDER, NEW_FOLDER, PATH, SEED, Seconds, model_data_options
from o2v_jax.cli.streams import say
from o2v_jax.cli.supervisor import is_inside, supervise
from o2v_jax.cli.training_data import (
    CHANNELS,
    channel_option,
    read_hyperparameters,
    read_training_data,
    require_one_source,
)
from o2v_jax.hyperparameters import InBatchObjective, Similarity
from o2v_jax.signals import Signals

_HOSTS = "hosts", "host_index", "coordinator"

if TYPE_CHECKING:
    from o2v_jax.checkpoint import Model


@click.command(cls=HyperparameterCommand)
@click.option("--data", type=FOLDER, help="Directory that o2v prepare wrote: all of it is used.")
@channel_option("--train", "Labelled JSON Lines to train on.")
@channel_option("--validation", "Records of the validation channel, for early stopping.")
@channel_option("--test", "Records of the test channel, for the final metrics.")
@click.option("--hyperparameters", type=FILE, help="JSON map of hyperparameters; see below.")
@model_data_options
@objective_options
@click.option("--output", type=NEW_FOLDER, help="Model directory to write.")
@click.option("--checkpoints", type=NEW_FOLDER, help="State to resume; default OUTPUT.checkpoints.")
@click.option("--report", type=NEW_FOLDER, help="Tables and plots; default OUTPUT.report.")
@click.option(
    "--checkpoint-interval",
    type=Seconds(),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Time between two savings of the state.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Resume an interrupted run of the same command, or start over.",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Decides initial values, order and dropout.",
)
@click.option(
    "--devices",
    type=click.IntRange(1),
    metavar="N",
    help="Devices of each host that share a run; default all.",
)
@click.option(
    "--shard-tables",
    is_flag=True,
    help="Spread the rows of token tables over the devices, for tables that do not fit one.",
)
@click.option("--hosts", type=click.IntRange(1), metavar="N", help="Hosts that share a run.")
@click.option(
    "--host-index", type=click.IntRange(0), metavar="I", help="Number of this host, from 0."
)
@click.option("--coordinator", metavar="HOST:PORT", help="Where host 0 listens for the others.")
@click.option("--license", "license_id", metavar="ID", help="Licence of the model, for its card.")
@click.option("--sagemaker", is_flag=True, help="Read and write SageMaker's container layout.")
@click.option(
    "--prefix",
    type=PATH,
    default="/opt/ml",
    show_default=True,
    help="Directory of that layout.",
)
def train(
    sagemaker: bool,
    prefix: Path,
    seed: int,
    on_error: str,
    cache: Path | None,
    checkpoint_interval: float,
    resume: bool,
    devices: int | None,
    shard_tables: bool,
    license_id: str | None,
    settings: dict[str, str],
    objective: str,
    similarity: Similarity | None,
    temperature: float | None,
    correct_popularity: bool,
    negatives_per_pair: int | None,
    **layout: Any,
) -> None:
    """Train a model and write it to a directory; the best epoch's parameters are kept.

    --data names what o2v prepare wrote: records, hyperparameters, and the vocabularies and class
    names that the model keeps. Otherwise --train, --validation and --test name files, folders of
    them, or patterns in quotation marks, and may be repeated; gzipped files are read as they are.
    A hyperparameter's own option overrules the map of --hyperparameters, which overrules that of
    --data. An interrupted run resumes when rerun.

    --objective in_batch trains for retrieval: the in1 of each pair competes with the others of its
    batch, and with the hard negatives that records name as "negatives". The scores of the model are
    similarities.

    With --sagemaker, hyperparameters and channels come from PREFIX/input, the model goes to
    PREFIX/model and a failure's reason to PREFIX/output. On several hosts the same command is given
    on each, with its own --host-index; host 0 writes the model.
    """
    common: dict[str, Any] = {
        "seed": seed,
        "skip": on_error == "skip",
        "cache": cache,
        "checkpoint_interval": checkpoint_interval,
        "resume": resume,
        "devices": devices,
        "shard_tables": shard_tables,
        "license_id": license_id or "",
        "command": shlex.join(["o2v", *sys.argv[1:]]),
    }
    _require_hosts(*(layout[name] for name in _HOSTS))
    chosen = make_objective(
        objective, similarity, temperature, correct_popularity, negatives_per_pair
    )
    in_batch = {"objective": objective} if chosen is not None else {}
    given = _list_given(layout | settings | in_batch)
    # from the environment it is the container's default, which options given by hand overrule
    by_hand = bool(given) and _get_source("sagemaker") is ParameterSource.ENVIRONMENT
    in_container = sagemaker and not by_hand
    if _has_more_hosts(in_container, prefix, layout) and not is_inside():
        raise click.exceptions.Exit(supervise(_make_failure_writer(in_container, prefix)))
    # before anything heavy is imported: a container's first process has no other way to be stopped
    with Signals().caught() as signals:
        common["signals"] = signals
        if in_container:
            _refuse_beside_sagemaker(given)
            _train_in_container(prefix, common)
        else:
            _require_inputs(layout, sagemaker=sagemaker)
            _train_from_files(layout, settings, chosen, common)


def _list_given(options: Mapping[str, Any]) -> list[str]:
    """The names of options that have a value."""
    return [name for name, value in options.items() if value not in (None, ())]


def _train_in_container(prefix: Path, common: Mapping[str, Any]) -> None:
    from o2v_jax.scoring import use_compilation_cache
    from o2v_jax.training import make_container_job, report_failure

    use_compilation_cache()
    with report_failure(prefix):
        make_container_job(prefix, **common).run()


def _train_from_files(
    layout: Mapping[str, Any],
    settings: Mapping[str, str],
    objective: InBatchObjective | None,
    common: Mapping[str, Any],
) -> None:
    from o2v_jax.hyperparameters import Hyperparameters, warn_of_unused
    from o2v_jax.scoring import use_compilation_cache
    from o2v_jax.training import Hosts, Job

    use_compilation_cache()
    paths = dict(layout)
    number, index, address = (paths.pop(name) for name in _HOSTS)
    hosts = Hosts.numbered(number, index, address) if number and number > 1 else Hosts()
    channels = {name: paths.pop(name) for name in CHANNELS}
    given = {**read_hyperparameters(paths.pop("hyperparameters")), **settings}
    data = read_training_data(paths.pop("data"), channels, given, paths.pop("vocabulary"))
    warn_of_unused(given, objective)
    config = Hyperparameters.from_strings(data.pop("hyperparameters"), objective)
    model = Job(config=config, hosts=hosts, **data, **paths, **common).run()
    if hosts.first:
        _say_what_is_next(model, paths["output"])


def _say_what_is_next(model: "Model", output: Path) -> None:
    """Where the model is, its best metric, and how it is served."""
    from o2v_jax.checkpoint.summary import describe_best

    best = describe_best(model.metrics)
    say(f"The model is in {output}" + (f": {best}." if best else "."))
    say(f"Serve it: {shlex.join(['o2v', 'serve', '--model', str(output)])}")


def _has_more_hosts(sagemaker: bool, prefix: Path, layout: Mapping[str, Any]) -> bool:
    """Whether this host is one of several, as far as that can be seen without reading it all."""
    if not sagemaker:
        return (layout["hosts"] or 1) > 1
    try:
        resources = json.loads((prefix / "input" / "config" / "resourceconfig.json").read_bytes())
        return len(resources["hosts"]) > 1
    except (OSError, ValueError, KeyError, TypeError):
        return False  # whoever reads it will say what is wrong


def _make_failure_writer(sagemaker: bool, prefix: Path) -> Callable[[str], None]:
    def write(reason: str) -> None:
        from o2v_jax.training import write_failure

        if sagemaker:
            write_failure(prefix, reason)

    return write


def _get_source(name: str) -> ParameterSource | None:
    """Where an option's value comes from."""
    return click.get_current_context().get_parameter_source(name)


def _spell_option(name: str) -> str:
    """An option as it is written; hyperparameters keep their underscores."""
    return name.replace("_", "-") if name in _HOSTS else name


def _refuse_beside_sagemaker(names: list[str]) -> None:
    if names:
        listed = ", ".join(f"--{_spell_option(name)}" for name in names)
        raise click.UsageError(
            f"{listed} cannot be combined with --sagemaker, which reads the layout"
        )


def _require_inputs(layout: Mapping[str, Any], *, sagemaker: bool) -> None:
    if not sagemaker and _get_source("prefix") is ParameterSource.COMMANDLINE:
        raise click.UsageError("--prefix says where --sagemaker finds its layout: give both")
    require_one_source(layout)
    if not ((layout["train"] or layout["data"]) and layout["output"]):
        raise click.UsageError("train needs --data or --train, and --output; or --sagemaker")


def _require_hosts(number: int | None, index: int | None, coordinator: str | None) -> None:
    """On several hosts, which this one is and where they meet has to be said."""
    if (number or 1) == 1 and index is None and coordinator is None:
        return
    if number is None or index is None or coordinator is None:
        raise click.UsageError("--hosts, --host-index and --coordinator belong together")
    if index >= number:
        raise click.UsageError(f"--host-index {index}: must be below --hosts {number}")
    port = coordinator.rpartition(":")[2]
    if ":" not in coordinator or not port.isdecimal():
        raise click.UsageError(f"--coordinator {coordinator}: must be HOST:PORT")
