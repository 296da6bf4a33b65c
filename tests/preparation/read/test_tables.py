"""Reading tables: every form gives the same rows, and each row knows where it stood."""

import csv
import gzip
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2v_jax import InputError, RecordError
from o2v_jax.preparation.skipped_rows import SkippedRows

WIDTH = 3
# what a cell of any form may hold: TSV cannot hold tabs, and no text form a lone carriage return
PLAIN = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\r\n\x00\ufeff"))
QUOTABLE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x00\ufeff"))


def tables(cells):
    """Rows of which none is a line without anything."""
    row = st.lists(cells, min_size=WIDTH, max_size=WIDTH)
    return st.lists(row, min_size=1, max_size=6)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    return path


def write_tsv(path, rows):
    path.write_bytes(gzip.compress("".join("\t".join(row) + "\r\n" for row in rows).encode()))
    return path


def write_parquet(path, rows):
    columns = [*map(list, zip(*rows, strict=True))]
    pq.write_table(pa.table(columns, names=[f"column {at}" for at in range(WIDTH)]), path)
    return path


@given(tables(QUOTABLE))
def test_csv_holds_any_text(read, folder, rows):
    path = write_csv(folder / "any.csv", rows)
    found = read(path, "2", "0")
    assert [cells for _, *cells in found] == [[row[2], row[0]] for row in rows]
    texts = path.read_bytes().decode().split("\n")
    for (place, *_), row in zip(found, rows, strict=True):
        line = int(place.rpartition(":")[2])
        assert texts[line - 1].startswith(('"', row[0].partition("\n")[0])), "the row begins there"


@given(tables(PLAIN))
def test_every_form_gives_the_same_rows(read, folder, rows):
    files = (
        write_csv(folder / "a.csv", rows),
        write_tsv(folder / "a.tsv.gz", rows),
        write_parquet(folder / "a.parquet", rows),
    )
    for path in files:
        assert [cells for _, *cells in read(path, "0", "1")] == [row[:2] for row in rows]


def test_places_count_every_line(read, tmp_path):
    path = tmp_path / "a{b}.csv"
    path.write_text('x,y\n\n1,"two\nlines"\n\n3,4\n')
    assert read(path, "x", "y", header=True) == [
        (f"{path}:3", "1", "two\nlines"),
        (f"{path}:6", "3", "4"),
    ]


def test_many_chunks_keep_their_places(read, tmp_path):
    path = tmp_path / "many.tsv"
    path.write_text("".join(f"{n}\t{-n}\n" for n in range(10_000)))
    assert read(path, "1") == [(f"{path}:{n + 1}", str(-n)) for n in range(10_000)]
    table = pa.table({"n": range(10_000)})
    pq.write_table(table, tmp_path / "many.parquet", row_group_size=3000)
    rows = read(tmp_path / "many.parquet", "n")
    assert rows[9000] == (f"{tmp_path / 'many.parquet'}: row 9001", "9000")
    assert len(rows) == 10_000


def test_tsv_has_no_quoting(read, tmp_path):
    path = tmp_path / "quotes.txt"
    path.write_text('"a\tsaid "b"\n')
    assert read(path, "0", "1") == [(f"{path}:1", '"a', 'said "b"')]


def test_a_byte_order_mark_is_no_text(read, tmp_path):
    path = tmp_path / "excel.csv"
    path.write_bytes("﻿name,other\r\nÄ,1\r\n".encode())
    assert read(path, "name", header=True) == [(f"{path}:2", "Ä")]


def test_gzip_is_told_by_the_bytes(read, tmp_path):
    path = tmp_path / "packed.csv"
    path.write_bytes(gzip.compress(b"a,b\n"))
    assert read(path, "1") == [(f"{path}:1", "b")]


def test_a_name_comes_before_a_number(read, tmp_path):
    path = tmp_path / "numbered.csv"
    path.write_text("1,0\na,b\n")
    assert read(path, "0", "1", header=True) == [(f"{path}:2", "b", "a")]


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        (pa.array(["a", None, ""]), ["a", "", ""]),
        (pa.array(["a", None, "b"]).dictionary_encode(), ["a", "", "b"]),
        (pa.array([1, None, -3]), ["1", "", "-3"]),
        (pa.array([0.5, float("nan"), 4.0]), ["0.5", "", "4.0"]),
        (pa.array([1.1], pa.float32()), ["1.1"]),
        (pa.array([True, False]), ["true", "false"]),
        (pa.array([b"ab"]), ["ab"]),
        (pa.array([None, None]), ["", ""]),
        (pa.array([[1, 2], None, []]), [[1, 2], None, []]),
        (pa.array(["a", None], pa.string_view()), ["a", ""]),
        (pa.array([1.0, 1.5, None], pa.float16()), ["1.0", "1.5", ""]),
        (pa.array([Decimal("1.00")]), ["1.00"]),
        (pa.array(["a"], pa.json_(pa.string())), ["a"]),
        (
            pa.ListArray.from_arrays([0, 2, 3], pa.array(["a", "b", "a"]).dictionary_encode()),
            [["a", "b"], ["a"]],
        ),
        (pa.array([[1], None, []], pa.list_view(pa.int64())), [[1], None, []]),
        (pa.array([["a"], None], pa.large_list_view(pa.string_view())), [["a"], None]),
        (pa.array([["a"], None], pa.large_list(pa.large_string())), [["a"], None]),
        (pa.array([[1, 2], None], pa.list_(pa.int64(), 2)), [[1, 2], None]),
        (pa.array([[], None, [None]], pa.list_(pa.null())), [[], None, [None]]),
    ],
)
def test_parquet_columns_of_every_type(read, tmp_path, column, cells):
    pq.write_table(pa.table({"c": column}), tmp_path / "types.parquet")
    assert [cell for _, cell in read(tmp_path / "types.parquet", "c")] == cells


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a.csv: is empty"),
        ("a.csv", b"x,y\n1,2\n", "there is no column 'z'; its columns are x, y, or numbers 0..1"),
        ("a.csv", b"1\n1\n", "there is no column 'z'; its columns are 1, or numbers 0..0"),
        ("a.csv", b"z,z\n1,2\n", "2 columns are named 'z': give its number"),
        ("a.csv", b'z\n"a"b\n', r"a.csv:2: the row that begins here is not valid CSV"),
        ("a.csv", b'z\nb\n"a\nb\n', r"a.csv:3: the row that begins here is not valid CSV"),
        ("a.csv", b"z\nb\n\xff\n", r"a.csv:3: is not UTF-8"),
        ("a.csv", b"z\nb,c\n", "a.csv:2: the row has 2 columns, but the first row has 1"),
        ("a.tsv", b"z\ny\nb\tc\n", "a.tsv:3: the row has 2 columns, but the first row has 1"),
        ("a.csv", b"\xffz\nb\n", r"a.csv:1: is not UTF-8: convert"),
        ("a.csv", b"z\nb\0\n", r"a.csv:2: the row holds a NUL character"),
        ("a.csv", b"z\rb\rc\r", "a.csv:1: .* a carriage return is alone"),
        ("a.tsv", b"z\rb\rc\r", "a.tsv:1: a carriage return is alone"),
        ("a.csv", "z\nb\n".encode("utf-16"), "a.csv: is UTF-16 text: convert it to UTF-8"),
        ("a.tsv", "z,y\n".encode("utf-16-le"), "a.tsv: is UTF-16 text: convert it to UTF-8"),
        (
            "a.jsonl",
            '{"z":1}\n'.encode("utf-16-be"),
            "a.jsonl: is UTF-16 text: convert it",
        ),
        ("a.csv", b"PK\x03\x04 and more", "a.csv: is a zip archive .*: unpack it"),
        ("a.csv", b"PAR1\x15\x04", "a.csv: is a Parquet file: give --format parquet"),
        ("a.csv.gz", b"\x28\xb5\x2f\xfd", "is compressed by zstd"),
        ("a.zip", b"PK\x03\x04", r"a.zip: .zip files are not read: unpack it"),
        ("a.xlsx", b"PK\x03\x04", "save it as CSV"),
        ("a.csv", b"x;z\n1;2\n", r"'z'; its columns are x;z, .*give --delimiter ';'"),
        ("a.txt", b"x,z\n", "give --delimiter ','"),
        ("a.csv", b"x::z\n", "give --delimiter '::'"),
        ("a.csv", b"x\tz\n", r"give --delimiter '\\t'"),
        ("a.tsv", b'"z"\t"y"\n', r"where cells are quoted, give --format csv --delimiter '\\t'"),
        ("a.csv", b"y, z\n", "blanks beside a name are part of it"),
        (
            "a.csv",
            b'z\na\n"' + (b"b" * 2**20 + b"\n") * 17,
            r"a.csv:3: .* is a quotation mark not closed",
        ),
        ("a.parquet", b"z,y\n1,2\n", "it looks like text: give --format csv, tsv or jsonl"),
        ("a.parquet", gzip.compress(b"z\n"), "it is compressed by gzip, which only text may be"),
        ("a.parquet", b"PK\x03\x04 and more", "as Parquet .*: it is a zip archive"),
        ("a.csv", b'{"z":1}\n', "looks like JSON Lines: give --format jsonl"),
        ("a.jsonl", b"", "a.jsonl: is empty"),
        ("a.jsonl", b"\n \n", "a.jsonl: is empty"),
        ("a.jsonl", b'{"x":1}\n', "there is no column 'z'; its columns are x"),
        ("a.jsonl", b'{"z":1}\n{"z":', "a.jsonl:2: is not a JSON object"),
        ("a.jsonl", b'{"z":1}\n{"z":"\xff"}', "a.jsonl:2: is not UTF-8"),
        ("a.jsonl", b'{"z":' * 9999, "a.jsonl:1: is not a JSON object"),
        ("a.json", b'[{"z":1}]', "a JSON array begins here, but JSON Lines hold"),
        ("a.json", b'{\n"z":1\n}', "a.json:1: an object is spread over several lines"),
        ("a.jsonl", b'{"z":{}}', "a.jsonl:1: 'z' is neither text nor a list of numbers or strings"),
        ("a.jsonl", b'{"z":[1,"a"]}', "a.jsonl:1: 'z' is neither text nor a list"),
        ("a.jsonl", b'{"z":[1]}\n{"z":"a"}', "a.jsonl:2: 'z' is a string or a number, but a list"),
        ("a.tsv", gzip.compress(b"z\n" * 50, mtime=0)[:-6], "is damaged gzip"),
        ("a.tsv", gzip.compress(b"z\n", mtime=0)[:9] + b"?", "is damaged gzip"),
        ("a.parquet", b"PAR1 but no more", "a.parquet: cannot be read as Parquet"),
        ("a.data", b"z\n", "name its format by --format"),
    ],
)
def test_what_cannot_be_read(read, tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises((InputError, RecordError), match=message):
        read(path, "z", header=True)


def test_parquet_that_is_no_text(read, tmp_path):
    pq.write_table(pa.table({"c": pa.array([{"a": 1}])}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"column 'c' of type struct<a: int64> cannot be read"):
        read(tmp_path / "a.parquet", "c")


def test_parquet_columns_of_one_name_have_numbers(read, tmp_path):
    path = tmp_path / "twice.parquet"
    columns = [pa.array([text]) for text in ("a", "b", "c")]
    pq.write_table(pa.Table.from_arrays(columns, names=["x", "y", "x"]), path)
    assert [cells for _, *cells in read(path, "2", "y", "0")] == [["c", "b", "a"]]
    with pytest.raises(InputError, match="2 columns are named 'x': give its number, from 0"):
        read(path, "x")


def test_tables_without_rows(read, tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n")
    pq.write_table(pa.table({"x": pa.array([], pa.string())}), tmp_path / "a.parquet")
    for path in (tmp_path / "a.csv", tmp_path / "a.parquet"):
        with pytest.raises(InputError, match=f"{path.name}: holds no rows"):
            read(path, "x", header=True)


def test_a_header_that_may_be_data_is_remarked(read, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("u1,m1\nu2,m2\n")
    for wanted, header, remarks in ((("0", "1"), True, 1), (("u1", "1"), True, 0), ("0", False, 0)):
        problems = SkippedRows()
        read(path, *wanted, header=header, problems=problems)
        assert len(problems.remarks) == remarks
        for remark in problems.remarks:
            assert remark == (
                f"{path}: the first row was taken as column names: u1, m1; "
                "give --no-header if it is data"
            )


def test_rows_of_another_width_can_be_skipped(read, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("z,y\n1,2\n3\n4,5\n")
    problems = SkippedRows(skip=True)
    assert read(path, "z", header=True, problems=problems) == [
        (f"{path}:2", "1"),
        (f"{path}:4", "4"),
    ]
    assert problems.count == 1
    assert problems.listed == [f"{path}:3: the row has 1 columns, but the first row has 2"]
