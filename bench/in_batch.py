"""In-batch training beside sentence-transformers' static embeddings, on the same pairs.

    examples/retrieval/run.sh papers RAW VECTORS WORK
    python -m bench.in_batch WORK [--minutes M] [--json FILE]

Ours is the recipe's own `o2v train`. sentence-transformers trains a StaticEmbedding, the mean of
token vectors as ours, with MultipleNegativesRankingLoss for as many minutes: once as its authors
train such models (random vectors, batches of 2,048, learning rate 0.2), and once with the initial
vectors, batch size and learning rate of the recipe. Each side reads its texts by itself. Records a
second are of the whole of training without its start. The true document is then ranked among those
of all test pairs by the cosine.
"""

import gzip
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import click
import numpy as np

import o2v_jax
from bench import options
from bench.peers import EXTRA
from bench.results import finish, keep
from o2v_jax.array_types import Floats

RECIPE = Path(__file__).parents[1] / "examples" / "retrieval" / "hyperparameters.json"
DIMENSIONS = 512
PROBED = 30  # steps whose rate says how many fit into the time
TEMPERATURE = 0.05
PACKAGES = ("sentence-transformers", "torch")
_RATE = re.compile(r"train throughput=([0-9.]+) records/second")

Encode = Callable[[list[str], int], Floats]


class Trained(NamedTuple):
    """What a side reached.

    Attributes:
        name: of the side.
        encode: a function (texts, side) -> float32 `[texts, dimensions]`.
        minutes: that training took, with its start.
        records_per_s: that it was trained on.
    """

    name: str
    encode: Encode
    minutes: float
    records_per_s: float


class PeerSettings(NamedTuple):
    """How sentence-transformers trains."""

    name: str
    batch: int
    learning_rate: float
    weights: Floats | None = None


def train_ours(work: Path, output: Path) -> Trained:
    """The recipe's training."""
    command = [sys.executable, "-m", "o2v_jax", "train", "--data", str(work / "data")]
    command += ["--auxiliary", str(work / "auxiliary"), "--objective", "in_batch"]
    command += ["--hyperparameters", str(RECIPE), "--output", str(output)]
    began = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    minutes = (time.perf_counter() - began) / 60
    scorer = o2v_jax.Scorer(o2v_jax.load(output))
    rates = [float(rate) for rate in _RATE.findall(done.stdout + done.stderr)]

    def encode(texts: list[str], side: int) -> Floats:
        return scorer.embed(in1=texts) if side else scorer.embed(texts)

    return Trained("o2v_jax", encode, minutes, median(rates))


def train_peer(work: Path, output: Path, settings: PeerSettings, minutes: float) -> Trained:
    """Training for about so many minutes."""
    model = _make_peer(work, settings)
    probe = _run_peer(model, work, output, settings, PROBED)
    model = _make_peer(work, settings)
    steps = max(1, int(60 * minutes * probe.records_per_s / settings.batch))
    run = _run_peer(model, work, output, settings, steps)

    def encode(texts: list[str], side: int) -> Floats:  # noqa: ARG001 - both sides have one table
        return np.asarray(model.encode(texts, batch_size=512), np.float32)

    return Trained(settings.name, encode, run.minutes, run.records_per_s)


class _Run(NamedTuple):
    minutes: float
    records_per_s: float


def _make_peer(work: Path, settings: PeerSettings) -> Any:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - of the extra `bench`
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding  # noqa: PLC0415
    from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: PLC0415

    vocabulary = o2v_jax.Vocabulary.read(work / "data" / "vocab.json").tokens
    tokenizer = Tokenizer(models.WordLevel(dict(vocabulary), unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    table: dict[str, Any] = {"embedding_dim": DIMENSIONS}
    if settings.weights is not None:
        table = {"embedding_weights": settings.weights}
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, **table)], device="cpu")


def _run_peer(model: Any, work: Path, output: Path, settings: PeerSettings, steps: int) -> _Run:
    from datasets import Dataset  # noqa: PLC0415 - of the extra `bench`
    from sentence_transformers import (  # noqa: PLC0415
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.sentence_transformer.losses import (  # noqa: PLC0415
        MultipleNegativesRankingLoss,
    )
    from sentence_transformers.sentence_transformer.training_args import (  # noqa: PLC0415
        BatchSamplers,
    )

    queries, documents = read_pairs(work / "pairs" / "train.tsv")
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(output),
        max_steps=steps,
        per_device_train_batch_size=settings.batch,
        learning_rate=settings.learning_rate,
        warmup_steps=steps // 10,
        batch_sampler=BatchSamplers.NO_DUPLICATES,
        save_strategy="no",
        report_to="none",
        logging_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        seed=0,
    )
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_dict({"anchor": queries, "positive": documents}),
        loss=MultipleNegativesRankingLoss(model, scale=1 / TEMPERATURE),
    )
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    return _Run(seconds / 60, steps * settings.batch / seconds)


def read_pairs(file: Path) -> tuple[list[str], list[str]]:
    """Queries and documents of a table of two columns."""
    rows = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines()]
    return [row[0].lower() for row in rows], [row[1].lower() for row in rows]


def read_initial_vectors(work: Path) -> Floats:
    """The recipe's initial vectors; those of padding and unknown tokens are zero."""
    tokens = o2v_jax.Vocabulary.read(work / "data" / "vocab.json").tokens
    vectors = np.zeros((len(tokens), DIMENSIONS), np.float32)
    with gzip.open(work / "auxiliary" / "vectors.txt.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            token, *numbers = line.split(" ")
            vectors[tokens[token]] = np.array(numbers, np.float32)
    return vectors


def measure_ranks(trained: Trained, work: Path) -> list[dict[str, Any]]:
    """A row for each kind of test pair."""
    rows = []
    for kind in ("title", "sentence"):
        sides = read_pairs(work / "pairs" / f"test-{kind}.tsv")
        enc0, enc1 = (_normalize(trained.encode(texts, k)) for k, texts in enumerate(sides))
        scores = enc0 @ enc1.T
        own = np.diagonal(scores)[:, None]
        ties = np.count_nonzero(scores == own, axis=1) - 1
        ranks = 1 + np.count_nonzero(scores > own, axis=1) + ties / 2
        hits = {f"hits_at_{k}": round(float(np.mean(ranks <= k)), 3) for k in (1, 10, 20)}
        mean_rank = round(float(ranks.mean()), 1)
        rows.append({"side": trained.name, "query": kind, **hits, "mean_rank": mean_rank})
    return rows


def _normalize(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normal: Floats = vectors / np.maximum(lengths, np.float32(1e-12))
    return normal


@click.command()
@options.add_common
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Of each peer; as ours.")
@click.argument("work", type=click.Path(exists=True, file_okay=False, path_type=Path))
def main(quick: bool, device: str, file: Path | None, minutes: float | None, work: Path) -> None:
    """Measure in-batch training on the pairs of examples/retrieval."""
    try:
        import sentence_transformers  # noqa: F401, PLC0415
    except ImportError as error:
        raise click.ClickException(f"{error}: {EXTRA} brings it") from None
    options.use(device)
    rows, ranks = list[dict[str, Any]](), list[dict[str, Any]]()
    sections: dict[str, Any] = {"rows": rows, "ranks": ranks}
    settings = [
        PeerSettings("sentence-transformers", 2048, 0.2),
        PeerSettings("the same, our vectors", 512, 0.001, read_initial_vectors(work)),
    ]
    with TemporaryDirectory() as folder:
        ours = train_ours(work, Path(folder) / "model")
        _add(ours, ours, work, sections)
        for each in settings:
            limit = minutes or (0.5 if quick else ours.minutes)
            _add(train_peer(work, Path(folder) / "peer", each, limit), ours, work, sections)
            keep("in_batch", sections, file, quick=quick, packages=PACKAGES)
    finish("in_batch", sections, file, quick=quick, packages=PACKAGES)


def _add(trained: Trained, ours: Trained, work: Path, sections: dict[str, Any]) -> None:
    sections["rows"].append(
        {
            "side": trained.name,
            "minutes": round(trained.minutes, 2),
            "records_per_s": round(trained.records_per_s),
            "our_rate_over_its": round(ours.records_per_s / trained.records_per_s, 2),
        }
    )
    sections["ranks"].extend(measure_ranks(trained, work))


if __name__ == "__main__":
    main()
