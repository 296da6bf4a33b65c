"""Pairs of sentences that mean alike, and word vectors weighted by how rare a word is.

    python examples/similarity/words.py RAW VECTORS WORK

RAW holds SNLI's {train,dev}.tsv.gz, lines of label, sentence and sentence, VECTORS a gzipped file
of word vectors in GloVe's text layout. Into WORK go {train,dev}.tsv, the words of the pairs that
are labelled entailment; sentences.jsonl, every sentence of dev as it stands there, with its words,
for an index; and into WORK/auxiliary vocab.json, all words that have a vector, and
vectors.txt.gz: each vector times a / (a + p), where p is the word's share of all words of RAW's
training part (Arora et al. 2017, "A simple but tough-to-beat baseline for sentence embeddings").
"""

import gzip
import json
import re
import sys
from collections import Counter
from collections.abc import Container, Iterator
from pathlib import Path

RARITY = 1e-3  # a
WORD = re.compile(r"\w+")


def split(text: str) -> list[str]:
    """Words in lower case, without punctuation."""
    return WORD.findall(text.lower())


def read_pairs(file: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Label and words of every pair."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            label, one, two = line.rstrip("\n").split("\t")
            yield label, split(one), split(two)


def read_vectors(file: Path) -> Iterator[tuple[str, str]]:
    """Every word that `split` can give, and its numbers."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            word, _, numbers = line.rstrip("\n").partition(" ")
            if split(word) == [word]:
                yield word, numbers


def write_pairs(raw: Path, work: Path) -> Counter[str]:
    """Writes the pairs labelled entailment; returns how often each word of RAW's train occurs."""
    counts: Counter[str] = Counter()
    for part in ("train", "dev"):
        with (work / f"{part}.tsv").open("w", encoding="utf-8") as table:
            for label, one, two in read_pairs(raw / f"{part}.tsv.gz"):
                if part == "train":
                    counts.update(one + two)
                if label == "entailment" and one and two:
                    table.write(f"{' '.join(one)}\t{' '.join(two)}\n")
    return counts


def write_sentences(file: Path, output: Path, known: Container[str]) -> None:
    """Writes every sentence once of which some word is known."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        sentences = dict.fromkeys(
            text for line in lines for text in line.rstrip("\n").split("\t")[1:]
        )
    with output.open("w", encoding="utf-8") as table:
        for text in sentences:
            words = split(text)
            if any(word in known for word in words):
                row = {"sentence": text, "words": " ".join(words)}
                table.write(json.dumps(row, ensure_ascii=False) + "\n")


def write_vectors(vectors: Path, auxiliary: Path, counts: Counter[str]) -> Container[str]:
    """Writes the vocabulary and the weighted vectors; returns the words that have one."""
    auxiliary.mkdir(exist_ok=True)
    tokens, total = {"<pad>": 0}, counts.total()
    with gzip.open(auxiliary / "vectors.txt.gz", "wt", encoding="utf-8", compresslevel=1) as file:
        for word, numbers in read_vectors(vectors):
            tokens[word] = len(tokens)
            weight = RARITY / (RARITY + counts[word] / total)
            weighted = " ".join(f"{weight * float(number):.5g}" for number in numbers.split())
            file.write(f"{word} {weighted}\n")
    (auxiliary / "vocab.json").write_text(json.dumps(tokens, ensure_ascii=False), encoding="utf-8")
    return tokens


def main(raw: Path, vectors: Path, work: Path) -> None:
    """Writes everything."""
    work.mkdir(parents=True, exist_ok=True)
    counts = write_pairs(raw, work)
    known = write_vectors(vectors, work / "auxiliary", counts)
    write_sentences(raw / "dev.tsv.gz", work / "sentences.jsonl", known)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
