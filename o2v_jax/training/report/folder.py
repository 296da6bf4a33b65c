"""The folder of a run's tables and plots."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from o2v_jax.atomic import replace_file
from o2v_jax.errors import InputError
from o2v_jax.training.data.dataset import Dataset
from o2v_jax.training.loop.run import Run
from o2v_jax.training.report.curves import plot_curves
from o2v_jax.training.report.history import write_history

SKIPPED = "skipped.txt"

_log = logging.getLogger("o2v_jax")


def check_report(folder: Path) -> None:
    """Checks that the folder can be made, so that nobody trains for hours to find it cannot.

    Raises:
        InputError: it cannot.
    """
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.rmdir()  # until there is something to put into it
    except OSError as error:
        raise InputError(f"{folder}: cannot be made ({error.strerror})") from error


def write_report(folder: Path, run: Run) -> None:
    """Writes history.csv of the epochs so far, and curves.png once the run has ended.

    A folder that cannot be written any more costs the report and a warning, not the run.
    """
    with warn_if_unwritable(folder):
        write_history(folder, run.history, run.rates)
        if run.ended and run.history:
            plot_curves(folder, run.history, run.best_epoch, run.metrics.get("test"))


def write_skipped(folder: Path, data: Mapping[str, Dataset]) -> None:
    """Lists the records that were left out in skipped.txt, if any were, and says how many.

    A folder that cannot be written costs the list and a warning.
    """
    skipped = {channel: part.skipped for channel, part in data.items() if part.skipped.count}
    for channel, part in skipped.items():
        where = folder / SKIPPED
        _log.warning("%s: %d bad records are skipped, see %s", channel, part.count, where)
    if skipped:
        lines = [line for part in skipped.values() for line in part.listed]
        more = sum(part.count for part in skipped.values()) - len(lines)
        with warn_if_unwritable(folder):
            folder.mkdir(parents=True, exist_ok=True)
            with replace_file(folder / SKIPPED) as path:
                path.write_text("\n".join(lines + [f"and {more} more"] * (more > 0)) + "\n")


@contextmanager
def warn_if_unwritable(path: Path) -> Iterator[None]:
    """A context that turns an OSError into a warning: the run matters more than its report."""
    try:
        yield
    except OSError as error:
        _log.warning("%s: cannot be written (%s)", path, error.strerror or error)
