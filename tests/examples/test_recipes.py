"""Every recipe on an imitation of its raw data, to the metric that its served model repeats."""

import gzip
import json
import os
import random
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.process

REPOSITORY = Path(__file__).parents[2]
WORDS = [f"word{k}" for k in range(60)]
SMALL = ("--epochs", "2", "--enc_dim", "16", "--mini_batch_size", "32")


def sentence(draw, words=6):
    return " ".join(draw.choices(WORDS, k=words))


def compressed(path, lines):
    path.write_bytes(gzip.compress("".join(f"{line}\n" for line in lines).encode()))


def snli(raw, draw):
    names = "entailment", "neutral", "contradiction"
    for part, rows in (("train", 120), ("dev", 30), ("test", 40)):
        lines = (f"{draw.choice(names)}\t{sentence(draw)}\t{sentence(draw)}" for _ in range(rows))
        compressed(raw / f"{part}.tsv.gz", lines)


def ratings(raw, draw):
    pairs = sorted({(draw.randrange(20), draw.randrange(30)) for _ in range(300)})
    rows = (f"{user},{movie},{draw.randrange(1, 11) / 2},9" for user, movie in pairs)
    compressed(raw / "ratings.csv.gz", ["userId,movieId,rating,timestamp", *rows])


def retrieval(raw, draw):
    for part, rows in (("train", 40), ("dev", 12), ("test", 15)):
        lines = (
            "\t".join((f"P{k}", "2020", *(sentence(draw) for _ in range(4)))) for k in range(rows)
        )
        compressed(raw / f"{part}.tsv.gz", lines)


@contextmanager
def serving(model, shell):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [shell / "o2v", "serve", "--model", model, "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def wait_until_ready(url, process):
    for _ in range(600):
        assert process.poll() is None
        try:
            urllib.request.urlopen(f"{url}/ping", timeout=2).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the server does not get ready")


def metrics(text):
    """The metrics that are the last lines of an output."""
    found = re.findall(r"^(accuracy|cross_entropy|mean_squared_error) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def output_of(*command, env=None):
    done = subprocess.run(
        [*map(str, command)], cwd=REPOSITORY, env=env, check=False, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def demonstration(raw, draw):
    """What `snli` makes, and vectors of its words."""
    snli(raw, draw)
    write_vectors(raw / "vectors.txt.gz", draw)


def write_vectors(path, draw):
    numbers = (" ".join(f"{draw.gauss(0, 0.1):.3f}" for _ in range(100)) for _ in range(20))
    vectors = (f"{word} {row}" for word, row in zip(WORDS, numbers, strict=False))
    compressed(path, vectors)


def make_environment(shell):
    programs = {"O2V": shell / "o2v", "PYTHON": sys.executable}
    return os.environ | {name: shlex.quote(str(path)) for name, path in programs.items()}


RECIPES = {
    "snli/run.sh": (snli, ()),
    "snli/demonstration.sh": (demonstration, ("vectors.txt.gz",)),
    "ratings/run.sh": (ratings, ()),
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_runs_and_its_model_serves(recipe, tmp_path, shell):
    raw, work = tmp_path / "raw", tmp_path / "work"
    raw.mkdir()
    make, files = RECIPES[recipe]
    make(raw, random.Random(0))
    given = raw, *(raw / file for file in files), work
    printed = output_of(f"examples/{recipe}", *given, *SMALL, env=make_environment(shell))
    assert "test" not in printed.split("#throughput_metric")[0], "no test channel in training"
    with serving(work / "model", shell) as url:
        again = output_of(
            sys.executable, "examples/evaluate_http.py", work / "data" / "test.jsonl", url
        )
    assert metrics(again)
    assert metrics(printed) == pytest.approx(metrics(again), rel=1e-4)


def test_the_retrieval_recipe_finds_and_is_compared_with_tfidf(tmp_path, shell):
    raw, work = tmp_path / "raw", tmp_path / "work"
    raw.mkdir()
    retrieval(raw, random.Random(0))
    write_vectors(raw / "vectors.txt.gz", random.Random(1))
    given = raw, raw / "vectors.txt.gz", work, "--epochs", "2", "--mini_batch_size", "16"
    printed = output_of("examples/retrieval/run.sh", "papers", *given, env=make_environment(shell))
    (mrr,) = re.findall(r"^mrr (\S+)$", printed, re.MULTILINE)
    assert 0 < float(mrr) <= 1
    assert re.search(r"^queries 30$", printed, re.MULTILINE), "a title and a sentence a paper"
    compared = output_of(
        sys.executable, "examples/retrieval/evaluate.py", work / "model", work / "pairs"
    )
    lines = [line.split()[:2] for line in compared.splitlines()]
    by = ("model", "tf-idf", "blend")
    assert lines == [[kind, name] for kind in ("title", "sentence") for name in by]


def test_options_and_words_of_a_command_have_tokens_in_common(tmp_path):
    for part in ("train", "dev", "test"):
        row = "cp\tCopy a directory recursively\tcp --recursive -v {{path/to/directory}}"
        compressed(tmp_path / f"{part}.tsv.gz", [row])
    output_of(sys.executable, "examples/retrieval/commands.py", tmp_path, tmp_path / "pairs")
    pairs = {file.name for file in (tmp_path / "pairs").glob("*.tsv")}
    assert pairs == {"train.tsv", "dev.tsv", "dev-command.tsv", "test.tsv", "test-command.tsv"}
    (document,) = (tmp_path / "pairs" / "documents.jsonl").read_text().splitlines()
    assert json.loads(document)["name"] == "cp --recursive -v {{path/to/directory}}"
    (line,) = (tmp_path / "pairs" / "train.tsv").read_text().splitlines()
    description, command = line.split("\t")
    assert description == "copy a directory dire~ recursively recu~"
    assert command == "cp --recursive recursive recu~ -v { { path / to / directory dire~ } }"


def films(raw, draw):
    """Ratings by users who like most films, and titles."""
    pairs = sorted({(draw.randrange(20), draw.randrange(30)) for _ in range(400)})
    rows = (f"{user},{movie},{draw.choice((3.5, 4, 5))},9" for user, movie in pairs)
    compressed(raw / "ratings.csv.gz", ["userId,movieId,rating,timestamp", *rows])
    rows = (f'{movie},"Film {movie}, The (19{movie + 50})",Drama|War' for movie in range(30))
    compressed(raw / "movies.csv.gz", ["movieId,title,genres", *rows])


def test_the_recommendation_recipe_finds_films_by_title(tmp_path, shell):
    raw, work = tmp_path / "raw", tmp_path / "work"
    raw.mkdir()
    films(raw, random.Random(0))
    output_of("examples/recommendation/run.sh", raw, work, *SMALL, env=make_environment(shell))
    users = [json.loads(line) for line in (work / "users.jsonl").read_text().splitlines()]
    assert all(set(user["history"]).isdisjoint(user["test"]) for user in users)
    liked = work / "liked.jsonl"
    liked.write_text(json.dumps({"in0": users[0]["history"]}))
    places = "--model", work / "model", "--index", work / "index", "--file", liked, "-k", 3
    found = output_of(shell / "o2v", "search", *places, "--json")
    titles = {json.loads(row)["title"] for row in (work / "films.jsonl").read_text().splitlines()}
    assert set(json.loads(found)["keys"]) <= titles


def test_the_similarity_recipe_stands_beside_the_untrained_mean(tmp_path, shell):
    raw, work, draw = tmp_path / "raw", tmp_path / "work", random.Random(0)
    raw.mkdir()
    snli(raw, draw)
    write_vectors(raw / "vectors.txt.gz", draw)
    given = raw, raw / "vectors.txt.gz", work, "--epochs", "1", "--mini_batch_size", "8"
    printed = output_of("examples/similarity/run.sh", *given, env=make_environment(shell))
    assert "validation mrr" in printed
    rows = (f"{draw.randrange(6)}\t{sentence(draw)}?\t{sentence(draw)}" for _ in range(20))
    (tmp_path / "scored.tsv").write_text("\n".join(rows))
    compared = output_of(
        sys.executable, "examples/similarity/sts.py", work, tmp_path / "scored.tsv"
    )
    figures = [list(map(float, line.split()[1:])) for line in compared.splitlines()[1:]]
    assert len(figures) == 2
    assert np.isfinite(figures).all()
