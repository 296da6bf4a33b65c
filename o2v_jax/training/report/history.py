"""The metrics of every epoch as a table, for spreadsheets and plots."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from o2v_jax.atomic import replace_file

History = Sequence[Mapping[str, Mapping[str, float]]]


def write_history(folder: Path, history: History, rates: Sequence[float]) -> Path:
    """Writes history.csv into `folder`, which is made if there is none, and returns its path.

    A row an epoch: its number from 0, every metric of every channel (`train_cross_entropy`, ...)
    and `records_per_second`. The file is whole at any moment: the next one takes its place in one
    step, so a run that was killed and resumed leaves what an uninterrupted one does.

    Args:
        folder: where reports go.
        history: for every epoch the metrics by channel and name.
        rates: for every epoch the training records a second.
    """
    rows = [
        {"epoch": epoch, **_flatten(metrics), "records_per_second": f"{rate:.2f}"}
        for epoch, (metrics, rate) in enumerate(zip(history, rates, strict=True))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with replace_file(folder / "history.csv") as path, path.open("w", newline="") as file:
        table = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else ["epoch"])
        table.writeheader()
        table.writerows(rows)
    return folder / "history.csv"


def _flatten(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {
        f"{channel}_{name}": value
        for channel, values in metrics.items()
        for name, value in values.items()
    }
