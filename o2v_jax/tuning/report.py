"""What a search leaves beside the model: a line a trial, a table and the best hyperparameters."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState
from rich.table import Table

from o2v_jax.atomic import replace_file
from o2v_jax.checkpoint import save
from o2v_jax.data.tokenizers import Tokenizers
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.hyperparameters.text import format_value
from o2v_jax.training import Run
from o2v_jax.training.loop.trained_model import make_model
from o2v_jax.tuning.ranges import Value
from o2v_jax.tuning.study import REASON, Study

BEST_SHOWN = 10
SMALL = 0.001  # metrics below it have no four decimals worth showing


class TrialRow(NamedTuple):
    """A finished trial.

    Attributes:
        number: its position in the order of finishing, from 1.
        state: complete or pruned.
        value: the objective; of a pruned trial its last value on the same data, if there is one.
        seconds: how long it took.
        settings: the hyperparameters that were searched.
        reason: why it was pruned.
    """

    number: int
    state: str
    value: float | None
    seconds: float
    settings: Mapping[str, Value]
    reason: str

    @property
    def complete(self) -> bool:
        """Whether it was trained to its end."""
        return self.state == "complete"


def list_rows(study: Study) -> list[TrialRow]:
    """The finished trials in order."""
    return [_make_row(study, number, trial) for number, trial in enumerate(study.finished, start=1)]


def rank_rows(rows: Sequence[TrialRow], study: Study) -> list[TrialRow]:
    """The complete trials from the best on, equals in their order."""
    sign = -1 if study.objective.direction == "maximize" else 1
    complete = [row for row in rows if row.complete and row.value is not None]
    return sorted(complete, key=lambda row: sign * (row.value or 0.0))


def describe_last(rows: Sequence[TrialRow], study: Study, trials: int) -> str:
    """How the last trial went, beside the best one."""
    last = rows[-1]
    ranked = rank_rows(rows, study)
    how = (
        f"{study.objective}={format_metric(last.value)}"
        if last.complete
        else f"pruned, {last.reason}"
    )
    best = f" (best {format_metric(ranked[0].value)}, trial {ranked[0].number})" if ranked else ""
    return f"trial {last.number} of {trials}: {how}{best}, {last.seconds:.1f} s"


def format_metric(value: float | None) -> str:
    """A metric with four decimals, or where these would show nothing four digits.

    >>> format_metric(0.681), format_metric(0.00001234), format_metric(None)
    ('0.6810', '1.234e-05', '')
    """
    if value is None:
        return ""
    return f"{value:.4f}" if value == 0 or abs(value) >= SMALL else f"{value:.4g}"


def write_files(study: Study, directory: Path) -> list[TrialRow]:
    """Writes trials.csv and, once a trial is complete, best.json; returns the finished trials."""
    rows = list_rows(study)
    _write_trials(rows, list(study.space.ranges), directory / "trials.csv")
    if ranked := rank_rows(rows, study):
        best = study.space.make_candidate(ranked[0].settings).to_strings()
        with replace_file(directory / "best.json") as path:
            path.write_text(json.dumps(best, indent=2) + "\n")
    return rows


def describe_rows(rows: Sequence[TrialRow], study: Study) -> str:
    """What the table is of."""
    complete = sum(row.complete for row in rows)
    counts = f"{complete} complete and {len(rows) - complete} pruned trials"
    return f"{study.objective}, best of {counts}"


def describe_objective(config: Hyperparameters) -> str | None:
    """The options of `o2v train` that best.json cannot hold; None: there are none."""
    objective = config.objective
    if objective is None:
        return None
    flag = " --correct-popularity" if objective.correct_popularity else ""
    return (
        f"o2v train takes with best.json: --objective in_batch --similarity {objective.similarity} "
        f"--temperature {objective.temperature:g}{flag} "
        f"--negatives-per-pair {objective.negatives_per_pair}"
    )


def make_table(rows: Sequence[TrialRow], study: Study) -> Table:
    """The best ten trials."""
    table = Table()
    for name in ("trial", str(study.objective), "seconds", *study.space.ranges):
        table.add_column(name, justify="right", overflow="fold")
    for row in rank_rows(rows, study)[:BEST_SHOWN]:
        figures = str(row.number), format_metric(row.value), f"{row.seconds:.1f}"
        table.add_row(*figures, *map(format_value, row.settings.values()))
    return table


def _make_row(study: Study, number: int, trial: FrozenTrial) -> TrialRow:
    complete = trial.state is TrialState.COMPLETE
    comparable = complete or study.objective.channel == "validation"
    return TrialRow(
        number,
        "complete" if complete else "pruned",
        trial.value if comparable else None,
        trial.duration.total_seconds() if trial.duration else 0.0,
        study.space.convert(trial.params),
        trial.user_attrs.get(REASON, ""),
    )


def _write_trials(rows: Sequence[TrialRow], names: Sequence[str], file: Path) -> None:
    with replace_file(file) as path, path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(["number", "state", "value", "duration", *names, "reason"])
        for row in rows:
            settings = [format_value(row.settings[name]) for name in names]
            value = "" if row.value is None else row.value
            figures = [row.number, row.state, value, f"{row.seconds:.3f}"]
            table.writerow([*figures, *settings, row.reason])


@dataclass(frozen=True)
class Winner:
    """Writes models into `directory`, each replacing the one before.

    Attributes:
        directory: the model directory.
        tokenizers: kept with the model; likewise `class_names`.
        provenance: what a run does not know of itself: the command and the files.
    """

    directory: Path
    tokenizers: Tokenizers | None
    class_names: tuple[str, ...]
    provenance: Mapping[str, Any]

    def replace(self, run: Run, tuning: Mapping[str, Any]) -> None:
        """Writes a run's best epoch; `tuning` says in the provenance how it was found."""
        provenance = {**self.provenance, "tuning": dict(tuning)}
        save(make_model(run, self.tokenizers, self.class_names, provenance), self.directory)
