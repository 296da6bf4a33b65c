"""`o2v transform`: batch transform. Files of records in, a file of results for each out."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from click.core import ParameterSource

from o2v_jax.cli.options import NEW_FOLDER, Trimmed, dtype_option, model_option, resolve_model_path
from o2v_jax.cli.streams import say
from o2v_jax.cli.transform_options import (
    IN_FLIGHT_MB,
    AcceptOption,
    ContentTypeOption,
    Strategy,
    choose_payloads,
    normalize_strategy,
)
from o2v_jax.cli.transform_ray import RayOptions, open_ray_engine, ray_options, take_ray_options
from o2v_jax.constants import DType, Mode
from o2v_jax.errors import InputError

if TYPE_CHECKING:
    from o2v_jax.transform import Endpoints, Engine, Local, TransformReport, TransformSettings

SPLIT = click.Choice(["Line", "None"])


@click.command(short_help="Score or embed files of records: batch transform.")
@model_option
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--output", type=NEW_FOLDER, required=True, help="Folder of the results.")
@click.option(
    "--content-type",
    type=ContentTypeOption(),
    metavar="[application/jsonlines|application/json]",
    help="Of all inputs, optionally with '; infer_max_seqlens=64,64', the lengths at which "
    "sequences are cut; default JSON for .json, else JSON Lines.",
)
@click.option(
    "--accept",
    type=AcceptOption(),
    metavar="[application/jsonlines|application/json]",
    help="Format of the results; default the input's.",
)
@click.option(
    "--split-type",
    "split",
    envvar=["O2V_TRANSFORM_SPLIT_TYPE", "O2V_TRANSFORM_SPLIT"],
    type=SPLIT,
    help="Line: each line is a record. None: a file is one request. Default Line for JSON Lines.",
)
@click.option(
    "--strategy",
    type=Strategy(),
    help="Fill payloads with records, or make each record one.  [default: MultiRecord]",
)
@click.option(
    "--max-payload",
    "max_payload_mb",
    envvar=["O2V_TRANSFORM_MAX_PAYLOAD", "O2V_TRANSFORM_MAX_PAYLOAD_MB"],
    type=click.IntRange(0, IN_FLIGHT_MB),
    metavar="MB",
    help="Size of the largest payload, and so of the largest record; 0: no limit.  [default: 6]",
)
@click.option(
    "--max-concurrent-transforms",
    "concurrent",
    envvar=["O2V_TRANSFORM_MAX_CONCURRENT_TRANSFORMS", "O2V_TRANSFORM_CONCURRENT"],
    type=click.IntRange(0, IN_FLIGHT_MB),
    help="Payloads at a time: read ahead of the model, or sent to each endpoint; 0 and default: "
    "2, or as the first server says.",
)
@click.option(
    "--assemble-with",
    "assemble",
    envvar=["O2V_TRANSFORM_ASSEMBLE_WITH", "O2V_TRANSFORM_ASSEMBLE"],
    type=SPLIT,
    help="Line: each answer ends its line. None: nothing between answers. Default: the split type.",
)
@click.option(
    "--join-source",
    "join",
    envvar=["O2V_TRANSFORM_JOIN_SOURCE", "O2V_TRANSFORM_JOIN"],
    type=click.Choice(["Input", "None"]),
    default="None",
    show_default=True,
    help="Input: add results to their records, as SageMakerOutput.",
)
@click.option(
    "--input-filter",
    default="$",
    show_default=True,
    help="JSONPath that selects what of a record is used.",
)
@click.option(
    "--output-filter",
    default="$",
    show_default=True,
    help="JSONPath that selects what of a result, after joining, is written.",
)
@click.option(
    "--endpoint",
    "endpoints",
    envvar=["O2V_TRANSFORM_ENDPOINT", "O2V_TRANSFORM_ENDPOINTS"],
    multiple=True,
    metavar="URL",
    help="Send payloads to this running server, not to a model here; repeat it for several alike.",
)
@ray_options
@dtype_option
@click.option(
    "--mode",
    type=Trimmed(get_args(Mode)),
    envvar="INFERENCE_PREFERRED_MODE",
    help="Leave out what this mode does not need; default $INFERENCE_PREFERRED_MODE, else nothing.",
)
@click.option(
    "--on-error",
    type=click.Choice(["fail", "skip"]),
    default="fail",
    show_default=True,
    help='A bad record fails its file, or gets {"error": ...} as its result and is counted.',
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Resume an interrupted run, or start over and replace results.",
)
def transform(
    model_path: Path | None, inputs: tuple[str, ...], output: Path, **options: Any
) -> None:
    """Score pairs, or embed single objects, of every INPUT: a file, a folder or a 'glob'.

    The options are those of SageMaker's batch transform. Inputs are JSON Lines of {"in0": [ids],
    "in1": [ids]}, or JSON documents of {"instances": [...]}, gzipped or not; a record with one side
    gets its embedding. A side may also be a text, or a list of tokens, if the model has
    vocabularies. The results of NAME go to OUTPUT/NAME.out, one a record and in order, in the tree
    of the input folder. They appear when they are complete. A run that was stopped or killed
    resumes when its command is rerun.

    Parquet files hold lists of ids, or texts, in the columns in0 and in1, or in one of them, and
    give Parquet with scores or embeddings as a further column.

    With --endpoint, what is not said of strategy, payloads and concurrency is as the first server
    says in /execution-parameters. A busy server is asked again later.

    With --engine ray, parts of files are scored by several processes, one a GPU, with the same
    results. A process that dies is replaced. The machines of a cluster need o2v_jax, not the model.
    """
    from o2v_jax.signals import Signals

    with Signals().caught():
        _run(model_path, inputs, output, options)


def _run(
    model_path: Path | None, inputs: tuple[str, ...], output: Path, options: dict[str, Any]
) -> None:
    from o2v_jax.progress import InputProgress
    from o2v_jax.transform import Transform, find_sources

    ray = take_ray_options(options)
    dtype = options.pop("dtype")
    endpoints, mode = (options.pop(n) for n in ("endpoints", "mode"))
    skip = options.pop("on_error") == "skip"
    resume = options.pop("resume")
    servers = _make_endpoints(endpoints, model_path, options) if endpoints else None
    concurrent = servers.concurrent if servers else _fit_payloads(options, {})
    settings = _make_settings(options)
    sources = find_sources(inputs, output)
    for source in sources:
        settings.of(source.path)  # contradictions are found before a model is read
    total = sum(source.size for source in sources)
    with (
        _open_engine(servers, ray, model_path, mode, dtype) as engine,
        InputProgress(total) as progress,
    ):
        report = Transform(
            sources=sources,
            output=output,
            settings=settings,
            engine=engine,
            skip=skip,
            resume=resume,
            ahead=concurrent,
            on_progress=progress.advance,
        ).run()
    _say_outcome(report, progress.rate, engine.padding, skip=skip)


@contextmanager
def _open_engine(
    servers: "Endpoints | None",
    ray: RayOptions | None,
    model_path: Path | None,
    mode: Mode | None,
    dtype: DType,
) -> Iterator["Engine"]:
    from o2v_jax.transform import Remote

    if servers:
        yield Remote(servers)
    elif ray:
        with open_ray_engine(resolve_model_path(model_path), mode, dtype, ray) as engine:
            yield engine
    else:
        yield _make_local_engine(model_path, mode, dtype)


def _make_local_engine(model_path: Path | None, mode: Mode | None, dtype: DType) -> "Local":
    from o2v_jax.checkpoint import hash_model, load
    from o2v_jax.scoring import use_compilation_cache
    from o2v_jax.transform import Local
    from o2v_jax.transform.engines.local import make_scorer

    use_compilation_cache()
    model = load(resolve_model_path(model_path))
    return Local(make_scorer(model, mode=mode, dtype=dtype), hash_model(model, dtype))


def _make_endpoints(
    urls: tuple[str, ...], model_path: Path | None, options: dict[str, Any]
) -> "Endpoints":
    """The servers; what they say of themselves goes into the options that were not given."""
    from o2v_jax.transform import Endpoints

    source = click.get_current_context().get_parameter_source
    given = [n for n in ("mode", "dtype") if source(n) is ParameterSource.COMMANDLINE]
    for name in ["model"] * bool(model_path) + given:
        raise click.UsageError(f"--endpoint has a model already: leave --{name} out")
    endpoints = Endpoints(urls)
    said = endpoints.fetch_execution_parameters()
    options["strategy"] = options["strategy"] or normalize_strategy(said.get("BatchStrategy"))
    endpoints.concurrent = _fit_payloads(options, said)
    return endpoints


def _fit_payloads(options: dict[str, Any], said: dict[str, Any]) -> int:
    """Payloads at a time; their size goes into the options."""
    given = options["max_payload_mb"], options.pop("concurrent")
    options["max_payload_mb"], concurrent = choose_payloads(*given, said)
    return concurrent


def _make_settings(options: dict[str, Any]) -> "TransformSettings":
    from o2v_jax.transform import TransformSettings

    if content := options.pop("content_type"):
        options |= {"content_type": content.format, "max_seq_lens": content.max_seq_lens}
    return TransformSettings(
        **{name: value for name, value in options.items() if value is not None}
    )


def _say_outcome(
    report: "TransformReport", rate: float, padding: float | None, *, skip: bool
) -> None:
    bad = f", {report.errors:,} of them bad" if report.errors else ""
    done = report.files - len(report.failed)
    if report.kept == report.files:
        say(
            f"nothing to do: this command was done before ({done:,} of {report.files:,} files, "
            f"{report.records:,} records{bad}); --no-resume does it again"
        )
        return
    say(
        f"{done:,} of {report.files:,} files, {report.records:,} records{bad}, "
        f"{rate:,.0f} records/s" + ("" if padding is None else f", {padding:.1%} padding")
    )
    if report.failed:
        raise InputError(
            f"{len(report.failed)} of {report.files} files failed, as said above: fix them"
            + ("" if skip else ", or give --on-error skip")
            + "; the same command does the rest"
        )
