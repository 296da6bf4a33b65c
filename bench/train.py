"""Training steps against PyTorch: the same network, weights, batches and optimizer in the same run.

    python -m bench.train [--quick] [--device cpu|gpu] [--json FILE]

The loss is compared before anything is timed; the sides take turns, and the figures are medians.
On a GPU both multiply in TF32.
"""

from itertools import cycle, islice
from pathlib import Path
from typing import Any

import click
import jax
import numpy as np

from bench import options
from bench.results import finish
from bench.timing import alternate
from bench.torch_trainer import TorchTrainer
from bench.workloads import Workload, make_document_workload, make_sentence_workload
from o2v_jax import Model
from o2v_jax.training.data.batches import Batch, DataLoader
from o2v_jax.training.optim.step import (
    TrainState,
    init_state,
    make_evaluation_step,
    make_train_step,
)

SMALL, LARGE = 30_000, 3_000_000


class Trainer:
    """Our side: the state and the compiled step."""

    def __init__(self, workload: Workload) -> None:
        self.config = workload.config
        self.state, self.step = init_state(self.config, 0), make_train_step(self.config)

    def compute_loss(self, batch: Batch) -> float:
        """Mean loss, without dropout."""
        return make_evaluation_step(self.config)(self.state.params, batch).mean_loss()

    def run(self, batches: list[Batch]) -> TrainState:
        """A step for each batch; returns when the device is done."""
        for batch in batches:
            self.state, _ = self.step(self.state, batch)
        jax.block_until_ready(self.state)
        return self.state


def measure_against_torch(
    workload: Workload, steps: int, rounds: int, device: str
) -> dict[str, Any]:
    """Records a second of both sides."""
    ours, batches = Trainer(workload), _make_batches(workload, steps)
    params = jax.device_get(ours.state.params)
    peer = TorchTrainer(Model(workload.config, params), "cuda" if device == "gpu" else "cpu")
    prepared = [peer.prepare(batch) for batch in batches]
    with jax.default_matmul_precision("highest"):
        mine = ours.compute_loss(batches[0])
    np.testing.assert_allclose(mine, peer.compute_loss(prepared[0]), rtol=1e-4)
    peer.use_tf32()  # as JAX does by itself on a GPU
    ours.run(batches)  # compiles
    for _ in range(2):  # both have found their places in one heap before they are timed
        _run_torch(peer, prepared)
        ours.run(batches)
    mine, theirs, ratio = alternate(
        lambda: ours.run(batches), lambda: _run_torch(peer, prepared), rounds
    )
    records = len(batches) * workload.config.mini_batch_size
    return {
        "workload": workload.name,
        "batch": workload.config.mini_batch_size,
        "records_per_s": round(records / mine, 1),
        "torch_records_per_s": round(records / theirs, 1),
        "ratio": round(ratio, 3),
        "input_share": (share := round(measure_input_share(ours, workload, steps, rounds), 4)),
        "with_input_per_s": round(records / mine / (1 + share), 1),
    }


def measure_input_share(trainer: Trainer, workload: Workload, steps: int, rounds: int) -> float:
    """What making batches adds to the time of training on them, as a share of a step's time."""
    data, config = workload.make_dataset(steps * workload.config.mini_batch_size), workload.config
    loader = DataLoader.of(config, data)

    def make_epoch() -> list[Batch]:
        return list(islice(loader.iterate_epoch(data, np.random.default_rng(3)), steps))

    def train_while_making() -> None:
        for batch in islice(loader.iterate_epoch(data, np.random.default_rng(3)), steps):
            trainer.state, _ = trainer.step(trainer.state, batch)
        jax.block_until_ready(trainer.state)

    batches = make_epoch()
    trainer.run(batches)
    _, _, ratio = alternate(lambda: trainer.run(batches), train_while_making, rounds)
    return ratio - 1


def measure_vocabulary_sizes(steps: int, rounds: int) -> dict[str, Any]:
    """Seconds a row_sparse step at two vocabulary sizes, for texts of the same token types."""
    sides = {size: make_document_workload("row_sparse", size, SMALL) for size in (SMALL, LARGE)}
    trainers = {size: Trainer(workload) for size, workload in sides.items()}
    batches = {size: _make_batches(workload, steps) for size, workload in sides.items()}
    for size, trainer in trainers.items():
        trainer.run(batches[size])
    large, small, ratio = alternate(
        lambda: trainers[LARGE].run(batches[LARGE]),
        lambda: trainers[SMALL].run(batches[SMALL]),
        rounds,
    )
    return {
        "workload": "document, row_sparse",
        f"ms_at_vocabulary_{SMALL}": round(1000 * small / steps, 2),
        f"ms_at_vocabulary_{LARGE}": round(1000 * large / steps, 2),
        "times_as_long": round(1 / ratio, 3),
    }


def _make_batches(workload: Workload, steps: int) -> list[Batch]:
    records = steps * workload.config.mini_batch_size
    batches = workload.make_batches(records)
    return list(islice(cycle(batches), steps))


def _run_torch(peer: TorchTrainer, batches: list[Any]) -> None:
    for batch in batches:
        loss = peer.step(batch)
    float(loss)


@click.command()
@options.add_common
@click.option("--only", multiple=True, help="Part of a workload's name.")
@click.option("--steps", type=click.IntRange(1), help="Timed as one block; 24, with --quick 12.")
@click.option("--rounds", type=click.IntRange(1), help="Default 7, with --quick 3.")
def main(
    quick: bool,
    device: str,
    file: Path | None,
    only: tuple[str, ...],
    steps: int | None,
    rounds: int | None,
) -> None:
    """Measure training."""
    options.use(device)
    steps, rounds = steps or (12 if quick else 24), rounds or (3 if quick else 7)
    workloads = [
        make_document_workload("row_sparse"),
        make_document_workload("dense"),
        make_sentence_workload("hcnn"),
        make_sentence_workload("bilstm"),
    ]
    rows = [
        measure_against_torch(workload, steps, rounds, device)
        for workload in workloads
        if not only or any(part in workload.name for part in only)
    ]
    sizes = [] if only else [measure_vocabulary_sizes(steps, rounds)]
    sections = {"rows": rows, "vocabulary_sizes": sizes}
    finish("train", sections, file, quick=quick, packages=("torch",))


if __name__ == "__main__":
    main()
