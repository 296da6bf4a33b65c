"""JSON Lines, other delimiters, folders, and cells and lines that are no text."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2v_jax import InputError, RecordError
from o2v_jax.preparation import Layout
from o2v_jax.preparation.read.tables import find_files
from o2v_jax.preparation.skipped_rows import SkippedRows

CELLS = st.text(st.characters(exclude_categories=["Cs"]))
ROWS = st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("forms")


def write_json(path, rows):
    lines = [json.dumps({f"column {at}": cell for at, cell in enumerate(row)}) for row in rows]
    path.write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode())
    return path


@given(ROWS)
def test_json_lines_hold_any_text(read, folder, rows):
    path = write_json(folder / "any.jsonl", rows)
    assert read(path, "column 2", "column 0") == [
        (f"{path}:{at}", row[2], row[0]) for at, row in enumerate(rows, 1)
    ]


def test_json_values_are_text_or_lists(read, tmp_path):
    path = tmp_path / "a.ndjson.gz"
    lines = [
        {"a": 1, "b": [1, 2]},
        {"a": 2**70, "b": [], "c": 0},
        {"a": True, "b": None},
        {"b": [3.0, None]},
        {"a": 0.5},
    ]
    path.write_bytes(gzip.compress("\r\n\n".join(map(json.dumps, lines)).encode()))
    assert read(path, "a", "b") == [
        (f"{path}:1", "1", [1, 2]),
        (f"{path}:3", str(2**70), []),
        (f"{path}:5", "true", None),
        (f"{path}:7", "", [3, None]),
        (f"{path}:9", "0.5", None),
    ]


def test_bad_json_lines_can_be_skipped(read, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'no\n{"z":["a"]}\n{"z":"a"}\n[]\n{"z":"\xff"}\n{"z":["b"]}')
    problems = SkippedRows(skip=True)
    assert read(path, "z", problems=problems) == [(f"{path}:2", ["a"]), (f"{path}:6", ["b"])]
    assert problems.count == 4


@pytest.mark.parametrize(
    ("name", "delimiter", "text", "cells"),
    [
        ("a.csv", ";", 'a;"b;c"\n', ["a", "b;c"]),
        ("a.tsv", "|", '"a|b"\n', ['"a', 'b"']),
        ("ratings.dat", "::", '1::"2\n', ["1", '"2']),
        ("u.data", "\t", '1\t"a\tb"\n', ["1", "a\tb"]),
    ],
)
def test_delimiters(read, tmp_path, name, delimiter, text, cells):
    path = tmp_path / name
    path.write_text(text)
    assert read(path, "0", "1", delimiter=delimiter) == [(f"{path}:1", *cells)]


@pytest.mark.parametrize("delimiter", ["", '"', "\n", "a\0"])
def test_delimiters_that_are_none(delimiter):
    with pytest.raises(InputError, match="holds a quotation mark, a line end or NUL"):
        Layout(delimiter=delimiter)


@pytest.mark.parametrize("layout", [Layout(delimiter=";"), Layout(header=False)])
def test_what_is_said_of_delimited_files_needs_some(tmp_path, layout):
    parquet, text = tmp_path / "a.parquet", tmp_path / "a.csv"
    layout.check([parquet, text])
    with pytest.raises(InputError, match="is for CSV and TSV, but the files are jsonl and parquet"):
        layout.check([parquet, tmp_path / "a.jsonl"])


def test_a_folder_is_its_files(read, tmp_path):
    """As Spark writes them, with empty parts and files that only Spark reads."""
    for name in ("_SUCCESS", ".part-1.csv.crc", "_temporary/part-9.csv", "part-0.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "part-3.csv").write_text("x,y\n")
    with pytest.raises(InputError, match="the files of the folder hold no rows"):
        read(tmp_path, "x", header=True)
    for name, text in (("part-2.csv", "x,y\n3,4\n"), ("part-1.csv", "x,y\n1,2\n")):
        (tmp_path / name).write_text(text)
    pq.write_table(pa.table({"x": pa.array([], pa.string())}), tmp_path / "part-4.snappy.parquet")
    (tmp_path / "year=2020").mkdir()
    (tmp_path / "year=2020" / "part-5.json").write_text('{"x":5}')
    assert [cells for _, *cells in read(tmp_path, "x", header=True)] == [["1"], ["3"], ["5"]]
    empty = tmp_path / "_empty"
    empty.mkdir()
    with pytest.raises(InputError, match="_empty: the folder holds no files"):
        find_files(empty)


def test_cells_that_are_no_text_matter_where_they_are_wanted(read, tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes('x,y\n1,é\n"é\n2",b\n3,c\0\n'.encode("latin-1"))
    problems = SkippedRows(skip=True)
    assert len(read(path, "x", header=True, problems=problems)) == 2
    assert problems.listed == [
        f"{path}:3: is not UTF-8: convert the file to UTF-8 (iconv -f ENCODING -t UTF-8)"
    ]
    assert read(path, "y", header=True, problems=problems) == [(f"{path}:3", "b")]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_a_line_without_end_is_refused(read, tmp_path, name, monkeypatch):
    monkeypatch.setattr("o2v_jax.preparation.read.lines.LONGEST_LINE", 1000)
    path = tmp_path / name
    path.write_text('{"x":1}\n' if name == "a.jsonl" else "x\n1\n")
    with path.open("a") as file:
        file.truncate(2**30)  # sparse: takes no room
    with pytest.raises(RecordError, match=r":[23]: the line is longer than 1,000 bytes"):
        read(path, "x", header=True)
