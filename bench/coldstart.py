"""From process start to the first correct answer, and what importing takes of it.

    python -m bench.coldstart [--quick] [--device cpu|gpu] [--json FILE]

`o2v serve` with an empty and with a warm compilation cache, and LitServe with the same network in
PyTorch, in turns. Files of packages are in the page cache: one start beforehand does not count.
"""

from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from bench import imports, options, servers, traffic
from bench.peers import PACKAGES, NotAvailableError
from bench.results import finish

Figures = dict[str, Any]
OURS = ("empty cache", "warm cache")


class Starts:
    """Starts servers of one model, each of which must answer as the first one did."""

    def __init__(self, model: Path, device: str, folder: Path) -> None:
        self._model, self._device, self._folder = model, device, folder
        (self._body,) = traffic.make_bodies(traffic.read_config(model), 1, 1)
        self._expected: np.ndarray | None = None
        self._fresh = 0

    def start_ours(self, *, empty: bool) -> Figures:
        """`o2v serve` with a new compilation cache, or with the one that earlier starts filled."""
        self._fresh += empty
        cache = self._folder / (f"empty{self._fresh}" if empty else "warm")
        with servers.serve_ours(self._model, self._device, O2V_CACHE_DIR=str(cache)) as server:
            seconds, answer = server.wait_for_answer(self._body)
            self._check(answer)
            return {"answer_s": seconds, "ready_s": server.wait_until_ready()}

    def start_litserve(self) -> Figures:
        """LitServe; raises `NotAvailableError`."""
        with servers.serve_litserve(self._model, self._device, servers.Batching()) as server:
            seconds, answer = server.wait_for_answer(self._body)
            self._check(answer)
            return {"answer_s": seconds, "ready_s": seconds}

    def _check(self, answer: bytes) -> None:
        found = traffic.decode_scores(answer)
        self._expected = found if self._expected is None else self._expected
        np.testing.assert_allclose(found, self._expected, atol=1e-4)


def measure(starts: Starts, rounds: int, *, peer: bool) -> tuple[list[Figures], dict[str, str]]:
    """Rows of the table, and why LitServe is not in it."""
    starts.start_ours(empty=False)  # fills the warm cache, and the page cache
    works = {
        "empty cache": lambda: starts.start_ours(empty=True),
        "warm cache": lambda: starts.start_ours(empty=False),
    }
    missing = {} if peer else {"litserve": "left out by --no-peer"}
    if peer:
        try:
            starts.start_litserve()
            works["litserve"] = starts.start_litserve
        except NotAvailableError as reason:
            missing["litserve"] = str(reason)
    found: dict[str, list[Figures]] = {name: [] for name in works}
    for turn in range(rounds):
        for name in list(works)[:: -1 if turn % 2 else 1]:
            found[name].append(works[name]())
    return [_make_row(name, figures) for name, figures in found.items()], missing


def _make_row(name: str, figures: list[Figures]) -> Figures:
    seconds = [one["answer_s"] for one in figures]
    return {
        "server": f"o2v, {name}" if name in OURS else name,
        "runs": len(figures),
        "first_answer_s": round(median(seconds), 3),
        "fastest_s": round(min(seconds), 3),
        "slowest_s": round(max(seconds), 3),
        "ready_s": round(median(one["ready_s"] for one in figures), 3),
    }


@click.command()
@options.add_common
@click.option("--model", type=click.Path(path_type=Path), default=Path("checkpoints/snli-hcnn"))
@click.option("--peer/--no-peer", default=True, help="Measure LitServe beside.")
@click.option("--rounds", type=click.IntRange(1), help="Default 7, with --quick 2.")
def main(
    quick: bool, device: str, file: Path | None, model: Path, peer: bool, rounds: int | None
) -> None:
    """Measure how long it takes until the first answer."""
    options.use(device)
    with TemporaryDirectory() as folder:
        starts = Starts(model.resolve(), device, Path(folder))
        rows, missing = measure(starts, rounds or (2 if quick else 7), peer=peer)
    sections = {
        "rows": rows,
        "imports_ms": imports.measure(1 if quick else 5),
        "not_available": missing,
    }
    finish("coldstart", sections, file, quick=quick, packages=("granian", "flask", *PACKAGES))


if __name__ == "__main__":
    main()
