"""Makes the training files of checkpoints/snli-hcnn from SNLI's tab-separated files.

    python checkpoints/prepare_snli.py SNLI_DIRECTORY OUTPUT_DIRECTORY

reads train.tsv.gz, dev.tsv.gz and test.tsv.gz (label, sentence 1, sentence 2) and writes
vocab.json, from the training sentences alone, and train.jsonl, validation.jsonl, test.jsonl.
"""

import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson

from o2v_jax.vocabulary import Vocabulary, tokenize

CLASSES = {"entailment": 0, "neutral": 1, "contradiction": 2}
SPLITS = {"train": "train", "validation": "dev", "test": "test"}
VOCABULARY_SIZE = 10_240

Pair = tuple[int, list[str], list[str]]


def read(path: Path) -> Iterator[Pair]:
    """Class, tokens of the premise, tokens of the hypothesis."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            label, premise, hypothesis = line.rstrip("\n").split("\t")
            yield CLASSES[label], tokenize(premise), tokenize(hypothesis)


def write(path: Path, pairs: list[Pair], vocabulary: Vocabulary) -> None:
    """One JSON object a line."""
    encode = vocabulary.encode_tokens
    rows = ({"label": label, "in0": encode(one), "in1": encode(two)} for label, one, two in pairs)
    path.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))


def main(source: Path, target: Path) -> None:
    """Reads the three splits, builds the vocabulary of the first, writes all."""
    target.mkdir(parents=True, exist_ok=True)
    splits = {name: list(read(source / f"{file}.tsv.gz")) for name, file in SPLITS.items()}
    texts = (tokens for _, one, two in splits["train"] for tokens in (one, two))
    vocabulary = Vocabulary.build(texts, VOCABULARY_SIZE)
    vocabulary.write(target / "vocab.json")
    for name, pairs in splits.items():
        write(target / f"{name}.jsonl", pairs, vocabulary)


if __name__ == "__main__":
    if len(sys.argv) != 3:  # noqa: PLR2004
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
