"""Command examples -> pairs to match: what a command does, and the command.

    python examples/retrieval/commands.py RAW PAIRS

RAW holds {train,dev,test}.tsv.gz, an example of tldr-pages a line: page, description, command. Into
PAIRS go tables of two texts that belong together, their tokens separated by blanks: train.tsv,
dev.tsv and test.tsv; the latter two also as dev-command.tsv and test-command.tsv. documents.jsonl
holds every command as it is typed beside its tokens, for an index.

Tokens are words, options (-r, --output-file), numbers and punctuation marks. The words of an option
follow it, and a word of STEM letters or more is followed by its beginning, so that "recursively"
and --recursive have a token in common.
"""

import gzip
import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

STEM = 5
_TOKEN = re.compile(r"--?[A-Za-z][\w-]*|[A-Za-z]+|\d+|[^\sA-Za-z\d]")


def tokenize(text: str) -> Iterator[str]:
    """The tokens of a text."""
    for token in _TOKEN.findall(text.lower()):
        words = [word for word in token.split("-") if len(word) > 1] if token[0] == "-" else []
        for part in (token, *words):
            yield part
            if part.isalpha() and len(part) >= STEM:
                yield part[: STEM - 1] + "~"


def main(raw: Path, out: Path) -> None:
    """Writes all tables."""
    out.mkdir(parents=True, exist_ok=True)
    commands: dict[str, str] = {}
    for part in ("train", "dev", "test"):
        with gzip.open(raw / f"{part}.tsv.gz", "rt", encoding="utf-8") as lines:
            rows = [line.rstrip("\n").split("\t") for line in lines]
        pairs = ("\t".join(" ".join(tokenize(text)) for text in row[1:]) for row in rows)
        commands |= {row[2]: " ".join(tokenize(row[2])) for row in rows}
        table = out / f"{part}.tsv"
        table.write_text("".join(f"{pair}\n" for pair in pairs), encoding="utf-8")
        if part != "train":
            shutil.copy(table, out / f"{part}-command.tsv")
    with (out / "documents.jsonl").open("w", encoding="utf-8") as documents:
        for command, tokens in commands.items():
            row = json.dumps({"name": command, "text": tokens}, ensure_ascii=False)
            documents.write(f"{row}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
