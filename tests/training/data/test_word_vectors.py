"""Word vectors come back as they were written, and a malformed file says which line is wrong."""

import gzip
import math
import os
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2v_jax.errors import InputError
from o2v_jax.training.data.word_vectors import read_first_words, read_vectors

REPOSITORY = Path(__file__).parents[3]
DATA = Path(os.environ.get("O2V_DATA", REPOSITORY.parent / "shared" / "data")) / "vectors"
REAL = {
    "glove.6B.500.50d.txt.gz": (50, 500),
    "glove.840B.top256.300d.txt.gz": (300, 256),
    "glove.twitter.27B.25d.11925.txt.gz": (25, 11_925),
}
FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
# any word can be written, but for what ends a line or marks binary data, and numbers within words
WORD = st.text(st.characters(codec="utf-8", exclude_characters="\0\n0123456789\ufeff"))


@pytest.fixture
def file(tmp_path):
    """A function of a file's bytes that writes them and returns its path."""

    def write(content: bytes | str, name: str = "glove.txt") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refusal(path: Path, dim: int = 2, *words: str, **options) -> str:
    with pytest.raises(InputError) as caught:
        read_vectors(path, {word: at for at, word in enumerate(words, start=1)}, dim, **options)
    return str(caught.value)


def binary(words: list[str], dim: int) -> bytes:
    """word2vec's binary format."""
    rows = [f"{word} ".encode() + struct.pack(f"{dim}f", *[0.1] * dim) + b"\n" for word in words]
    return b"%d %d\n" % (len(words), dim) + b"".join(rows)


@given(
    words=st.lists(WORD, min_size=1, max_size=8, unique=True),
    data=st.data(),
    header=st.booleans(),
    packed=st.booleans(),
    end=st.sampled_from(["\n", " \n", "\r\n"]),
)
def test_any_words_and_numbers_come_back(tmp_path_factory, words, data, header, packed, end):
    numbers = st.lists(FLOAT32 | st.floats(-1e30, 1e30), min_size=3, max_size=3)
    rows = [data.draw(numbers) for _ in words]
    lines = [" ".join([word, *map(repr, row)]) for word, row in zip(words, rows, strict=True)]
    text = "".join(line + end for line in ([f"{len(words)} 3"] if header else []) + lines).encode()
    path = tmp_path_factory.mktemp("vectors") / "v"
    path.write_bytes(gzip.compress(text) if packed else text)
    wanted = {word: at for at, word in enumerate(words, start=1) if at % 3}
    ids, vectors = read_vectors(path, wanted, 3)
    assert (ids.dtype, vectors.dtype) == (np.int32, np.float32)
    assert ids.tolist() == sorted(wanted.values())
    np.testing.assert_array_equal(vectors, np.array(rows, np.float32)[ids - 1])
    assert read_first_words(path, 3, 2) == words[:2]


def test_only_wanted_words_are_read_exactly_as_they_are_spelt(file):
    path = file("The 1 2\nthe 3 4\n. . . 5 6\nthe 7 8\ncafé 9 10\nroute 66 1 2\nx 1 2")
    wanted = {"the": 7, ". . .": 3, "café": 9, "route 66": 2, "THE": 4, "\ud800": 5}
    ids, vectors = read_vectors(path, wanted, 2)
    assert ids.tolist() == [7, 3, 9, 2]
    assert vectors.tolist() == [[3, 4], [5, 6], [9, 10], [1, 2]]


def test_numbers_of_other_words_are_not_looked_at(file):
    ids, _ = read_vectors(file("a 1 2\nb x y\n"), {"a": 1}, 2)
    assert ids.tolist() == [1]
    assert refusal(file("a 1 2\nb x y\n"), 2, "b") == "glove.txt:2: 'x' is not a number"


def test_nothing_found_is_an_empty_table(file):
    ids, vectors = read_vectors(file("a 1 2\n"), {"b": 1}, 2)
    assert (ids.shape, vectors.shape) == ((0,), (0, 2))


def test_blank_lines_a_mark_and_bytes_that_are_no_text_are_passed_over(file):
    path = file(b"\xef\xbb\xbfa 1 2\n\n\xff\xfe 3 4\n \nb 5 6\n\n")
    ids, vectors = read_vectors(path, {"a": 1, "b": 2}, 2)
    assert (ids.tolist(), vectors.tolist()) == ([1, 2], [[1, 2], [5, 6]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a 1 2\nb 1", "glove.txt:2: 1 number, but dim=2"),
        ("a 1 2\nb", "glove.txt:2: 0 numbers, but dim=2"),
        ("a 1 2\n\nb 0.5 1 2", "glove.txt:3: 3 numbers, but dim=2"),
        ("a 1 2\nb 3 4e-05 1 2", "glove.txt:2: 4 numbers, but dim=2"),
        ("a 1 2 3", "glove.txt:1: 3 numbers, but dim=2"),
        ("a 1 x", "glove.txt:1: 'x' is not a number"),
        ("a 1_0 2", "glove.txt:1: '1_0' is not a number"),
        ("a 1  ", "glove.txt:1: 1 number, but dim=2"),
        ("a 1,5 2", "glove.txt:1: '1,5' is not a number"),
        ("b 1 2\na 1  2", "glove.txt:2: '' is not a number"),
        ("a 1 nan", "glove.txt:1: 'nan' is not a finite float32 number"),
        ("a -inf 1", "glove.txt:1: '-inf' is not a finite float32 number"),
        ("a 1 1e39", "glove.txt:1: '1e39' is not a finite float32 number"),
        ("a\t1\t2", "glove.txt:1: a tab, but fields must be separated by single blanks"),
        ("2 3\na 1 2 3", "glove.txt:1: a header of 3 numbers a word, but dim=2"),
        ("3 2\na 1 2\nb 1 2", "glove.txt:1: a header of 3 words, but 2 follow"),
        ("1 2\na 1 2\nb 1 2", "glove.txt:1: a header of 1 words, but 2 follow"),
        ("1 2\na -3.5 1 2", "glove.txt:2: 3 numbers, but dim=2"),
        ("", "glove.txt is empty: it must hold word vectors"),
        ("\n \n", "glove.txt is empty: it must hold word vectors"),
    ],
)
def test_a_malformed_file_names_the_line(file, text, message):
    assert refusal(file(text), 2, "a", "b", "a 1") == message
    assert refusal(file(gzip.compress(text.encode())), 2, "a", "b", "a 1") == message


def test_the_message_says_who_asks_for_the_width(file):
    text = "a 1 2\n" * 11 + "a" + " 0.1" * 299
    expected = "enc0_token_embedding_dim=2"
    message = refusal(file(text), 2, "a", expected=expected)
    assert message == "glove.txt:12: 299 numbers, but enc0_token_embedding_dim=2"


def test_a_missing_file_and_a_directory_are_refused(tmp_path):
    missing = refusal(tmp_path / "no.txt")
    assert missing == "no.txt cannot be read: No such file or directory"
    (tmp_path / "folder").mkdir()
    assert refusal(tmp_path / "folder") == "folder cannot be read: Is a directory"


def test_broken_gzip_data_is_refused(file):
    rng = np.random.default_rng(0)
    rows = "".join(f"w{at} {a} {b}\n" for at, (a, b) in enumerate(rng.normal(size=(999, 2))))
    packed = gzip.compress(rows.encode())
    cut = "v.gz is cut off: its gzip data has no end; fetch it again"
    assert [refusal(file(packed[:end], "v.gz")) for end in (9, 500, -1)] == [cut] * 3
    flipped = packed[:500] + bytes([packed[500] ^ 0xFF]) + packed[501:]
    for damaged in (flipped, packed[:-8] + b"\0" * 8):
        assert refusal(file(damaged, "v.gz")).startswith("v.gz has damaged gzip data (")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dim", [2, 50])
def test_binary_files_are_named_as_such(file, dim, packed):
    pack = gzip.compress if packed else bytes
    message = refusal(file(pack(binary(["the", "of"], dim)), "v.bin"), dim, "the")
    kind = "this is like word2vec's binary format, but must be GloVe's or word2vec's text"
    assert message == f"v.bin:2: {kind}"
    text = "this is not text, but must be GloVe's or word2vec's text"
    for other in (b"PK\x03\x04" + bytes(99), bytes(3 * 2**20), "a 1 2\n".encode("utf-16")):
        assert refusal(file(pack(other), "v.bin"), dim, "the") == f"v.bin:1: {text}"


def test_memory_does_not_grow_with_the_file(file):
    line = " ".join(["0.123456"] * 50)
    path = file("".join(f"word{at} {line}\n" for at in range(40_000)))
    assert path.stat().st_size > 16e6
    tracemalloc.start()
    try:
        ids, _ = read_vectors(path, {"word39999": 1}, 50)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ids.tolist() == [1]
    assert peak < 2e6


@pytest.mark.parametrize("name", REAL)
def test_published_vectors_are_read_whole(name):
    path, (dim, count) = DATA / name, REAL[name]
    if not path.exists():
        pytest.skip(f"{path} is absent: set O2V_DATA to the folder that holds vectors/{name}")
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        lines = dict(line.rstrip("\n").split(" ", 1) for line in stream)
    words = list(lines)
    assert len(words) == count
    ids, vectors = read_vectors(path, {word: at for at, word in enumerate(words)}, dim)
    assert ids.tolist() == list(range(count))
    assert vectors.shape == (count, dim)
    for at in (0, count // 2, count - 1):
        expected = np.fromstring(lines[words[at]], np.float64, sep=" ").astype(np.float32)
        np.testing.assert_array_equal(vectors[at], expected)
    assert math.isfinite(float(np.abs(vectors).sum()))
