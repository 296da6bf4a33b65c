"""Parquet in and out: the same results, beside the columns that there were."""

import decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import o2v_jax
from o2v_jax.transform import Local, Transform, TransformSettings, find_sources
from o2v_jax.transform.read.parquet import PART_ROWS

IDS = pa.list_(pa.int32())


@pytest.fixture
def transform(o2v, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: o2v("transform", "--model", model, "--output", "out", *arguments)


@pytest.fixture(scope="module")
def scorer(model):
    return o2v_jax.Scorer(o2v_jax.load(model))


def table_of(rows, seed=0, kind=IDS):
    rng = np.random.default_rng(seed)
    sides = {
        name: pa.array(
            [rng.integers(1, 20, rng.integers(0, 6)).tolist() for _ in range(rows)], kind
        )
        for name in ("in0", "in1")
    }
    names = pa.array([f"row {n % 7}" for n in range(rows)]).dictionary_encode()
    return pa.table({"id": list(range(rows)), **sides, "name": names})


def values(table, name):
    return np.array(table[name].to_pylist(), np.float32)


@pytest.mark.parametrize("kind", [IDS, pa.large_list(pa.int64()), pa.list_(pa.uint8())])
def test_scores_stand_beside_the_columns_that_there_were(transform, scorer, kind):
    table = table_of(3000, kind=kind)
    pq.write_table(table, "a.parquet", row_group_size=700)
    result = transform("a.parquet")
    assert result.status == 0, result.err
    found = pq.read_table("out/a.parquet.out")
    assert found.column_names == ["id", "in0", "in1", "name", "scores"]
    assert found.drop_columns(["scores"]).to_pylist() == table.to_pylist()
    assert found.schema.field("scores").type == pa.list_(pa.float32())
    expected = scorer.score(table["in0"].to_pylist(), table["in1"].to_pylist())
    np.testing.assert_allclose(values(found, "scores"), expected, rtol=1e-5, atol=1e-6)
    assert not list(Path("out").glob(".*"))


@pytest.mark.parametrize("side", ["in0", "in1"])
def test_one_column_gives_embeddings(transform, scorer, side):
    table = table_of(500).select(["id", side])
    pq.write_table(table, "a.parquet")
    assert transform("a.parquet").status == 0
    found = pq.read_table("out/a.parquet.out")
    assert found.column_names == ["id", side, "embeddings"]
    expected = scorer.embed(**{side: table[side].to_pylist()})
    np.testing.assert_allclose(values(found, "embeddings"), expected, rtol=1e-5, atol=1e-6)


def test_no_rows(transform):
    pq.write_table(table_of(0), "a.parquet")
    assert transform("a.parquet").status == 0
    assert pq.read_table("out/a.parquet.out").num_rows == 0


BAD = [
    ([1], None, "$.in1: is null"),
    ([1, 20], [1], "$.in0[1]: 20 is outside the vocabulary 0..19"),
    ([1], [3, -1, 99], "$.in1[1]: -1 is outside the vocabulary 0..19"),
    ([None], [-5], "$.in0[0]: is null"),
]


@pytest.mark.parametrize(("in0", "in1", "message"), BAD)
def test_a_bad_row_fails_its_file(transform, in0, in1, message):
    rows = pa.table({"in0": pa.array([[1], in0], IDS), "in1": pa.array([[1], in1], IDS)})
    pq.write_table(rows, "a.parquet")
    pq.write_table(table_of(3), "b.parquet")
    result = transform("a.parquet", "b.parquet")
    assert result.status == 2
    assert f"o2v: a.parquet: row 2 {message}" in result.err
    assert [path.name for path in Path("out").glob("*.out")] == ["b.parquet.out"]


def test_bad_rows_are_skipped(transform, scorer):
    in0, in1, messages = zip(([2, 3], [4], None), *BAD, ([5], [6], None), strict=True)
    pq.write_table(pa.table({"in0": pa.array(in0, IDS), "in1": pa.array(in1, IDS)}), "a.parquet")
    result = transform("a.parquet", "--on-error", "skip")
    assert result.status == 0
    assert "6 records, 4 of them bad" in result.err
    found = pq.read_table("out/a.parquet.out").to_pylist()
    expected = scorer.score([[2, 3], [5]], [[4], [6]])
    for row, scores in ((0, expected[0]), (-1, expected[1])):
        np.testing.assert_allclose(found[row]["scores"], scores, rtol=1e-5, atol=1e-6)
        assert found[row]["error"] is None
    for number, (row, message) in enumerate(zip(found[1:-1], messages[1:-1], strict=True), 2):
        assert row["scores"] is None
        assert row["error"] == f"a.parquet: row {number} {message}"


class _StopsAfter:
    """An engine that is interrupted after some steps."""

    knows_model = True

    def __init__(self, engine, steps):
        self.identity, self.padding, self.split_work = engine.identity, None, engine.split_work
        self._engine, self._steps = engine, steps

    def compute(self, steps):
        for number, result in enumerate(self._engine.compute(steps)):
            if number == self._steps:
                raise KeyboardInterrupt
            yield result


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
def test_an_interrupted_file_goes_on_with_its_next_rows(transform, scorer, steps):
    pq.write_table(table_of(3 * PART_ROWS + 5), "a.parquet", row_group_size=2 * PART_ROWS + 9)
    sources = find_sources(["a.parquet"], Path("out"))
    engine = Local(scorer, "x")
    Transform(sources, Path("whole"), TransformSettings(), engine).run()
    with pytest.raises(KeyboardInterrupt):
        Transform(sources, Path("out"), TransformSettings(), _StopsAfter(engine, steps)).run()
    assert not Path("out/a.parquet.out").exists()
    report = Transform(sources, Path("out"), TransformSettings(), engine).run()
    assert (report.records, report.failed) == (3 * PART_ROWS + 5, [])
    whole, found = (pq.read_table(f"{name}/a.parquet.out") for name in ("whole", "out"))
    assert found.equals(whole)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1]}, "a.parquet: has neither a column in0 nor in1"),
        ({"in0": [7]}, "a.parquet: column in0 must hold lists of integers, not int64"),
        ({"in0": [[1.5]]}, "column in0 must hold lists of integers, not list<"),
        ({"in0": [[1]], "scores": [1]}, "a.parquet: has a column scores already"),
    ],
)
def test_what_is_no_table_of_ids(transform, columns, message):
    pq.write_table(pa.table(columns), "a.parquet")
    result = transform("a.parquet")
    assert result.status == 2
    assert message in result.err


def test_what_is_no_parquet(transform):
    Path("a.parquet").write_bytes(b"PAR1 nonsense")
    assert "o2v: a.parquet: cannot be read as Parquet (" in transform("a.parquet").err
    pq.write_table(table_of(3), "b.parquet")
    refused = transform("b.parquet", "--join-source", "Input")
    assert "b.parquet: formats, splits, joins and filters are not for Parquet" in refused.err


WORDS = pa.dictionary(pa.int32(), pa.string())
FURTHER = {
    "list of dictionaries": pa.array([["x", "y"], None, ["z"]], pa.large_list(WORDS)),
    "dictionaries in a struct": pa.array(
        [{"a": ["x"]}, None, {"a": None}], pa.struct({"a": pa.list_(WORDS)})
    ),
    "dictionaries in a map": pa.array([[("k", "x")], [], None], pa.map_(pa.string(), WORDS)),
    "list view of dictionaries": pa.array([["x"], None, []], pa.list_view(WORDS)),
    "ordered categories": pa.array(
        ["x", "y", None], pa.dictionary(pa.int8(), pa.string(), ordered=True)
    ),
    "extension": pa.array([b"0" * 16, None, b"1" * 16], pa.uuid()),
    "nested": pa.array([[[1.5]], None, [[], None]], pa.list_(pa.list_(pa.float32()))),
    "decimal": pa.array([decimal.Decimal("1.5"), None, decimal.Decimal(2)], pa.decimal128(9, 2)),
    "view": pa.array(["x", None, "y"], pa.string_view()),
    "null": pa.nulls(3),
}


def test_further_columns_are_kept_as_they_are(transform):
    """Each batch has dictionaries of its own."""
    sides = {"in0": pa.array([[1], [2], [3]], IDS), "in1": pa.array([[1], [2], [3]], IDS)}
    few = pa.table(sides | FURTHER)
    other = few.slice(1, 2).combine_chunks()
    table = pa.concat_tables([few, few, other]).replace_schema_metadata({"geo": "{}"})
    pq.write_table(table, "a.parquet", row_group_size=3)
    result = transform("a.parquet")
    assert result.status == 0, result.err
    found = pq.read_table("out/a.parquet.out")
    read = pq.read_table("a.parquet")
    assert found.schema.metadata[b"geo"] == b"{}"
    assert found.drop_columns(["scores"]).schema.equals(read.schema)
    assert found.drop_columns(["scores"]).to_pylist() == read.to_pylist()


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.int32(), 2),
        pa.list_view(pa.int64()),
        pa.large_list_view(pa.uint16()),
        pa.list_(pa.dictionary(pa.int8(), pa.int64())),
    ],
    ids=str,
)
def test_lists_of_any_kind(transform, scorer, kind):
    ids = pa.array([[1, 2], [3, None], None, [2, 4], [5, 6]], kind)
    pq.write_table(pa.table({"in0": ids, "in1": ids}).slice(1), "a.parquet")
    assert transform("a.parquet", "--on-error", "skip").status == 0
    found = pq.read_table("out/a.parquet.out")
    assert found["error"].to_pylist() == [
        "a.parquet: row 1 $.in0[1]: is null",
        "a.parquet: row 2 $.in0: is null",
        None,
        None,
    ]
    expected = scorer.score([[2, 4], [5, 6]], [[2, 4], [5, 6]])
    np.testing.assert_allclose(found["scores"].to_pylist()[2:], expected, rtol=1e-5, atol=1e-6)


def test_a_tensor_of_ids(transform, scorer):
    ids = np.array([[1, 2], [3, 4]], np.int32)
    pq.write_table(pa.table({"in0": pa.FixedShapeTensorArray.from_numpy_ndarray(ids)}), "a.parquet")
    assert transform("a.parquet").status == 0
    found = pq.read_table("out/a.parquet.out")["embeddings"].to_pylist()
    np.testing.assert_allclose(found, scorer.embed(in0=ids.tolist()), rtol=1e-5, atol=1e-6)


def test_lists_that_hold_nothing(transform, scorer):
    """What writers make of empty lists, and of columns without a value."""
    sides = {"in0": pa.array([[], [None], None]), "in1": pa.array([[], [], []], IDS)}
    pq.write_table(pa.table(sides), "a.parquet")
    pq.write_table(pa.table({"in0": pa.nulls(1), "in1": pa.array([[1]], IDS)}), "b.parquet")
    assert transform("a.parquet", "b.parquet", "--on-error", "skip").status == 0
    found = pq.read_table("out/a.parquet.out")
    problems = ["$.in0[0]: is null", "$.in0: is null"]
    assert found["error"].to_pylist() == [
        None,
        *(f"a.parquet: row {row} {problem}" for row, problem in enumerate(problems, 2)),
    ]
    np.testing.assert_allclose(found["scores"][0].as_py(), scorer.score([[]], [[]])[0], rtol=1e-5)
    bad = pq.read_table("out/b.parquet.out")["error"].to_pylist()
    assert bad == ["b.parquet: row 1 $.in0: is null"]


LARGEST = 2**64 - 1


def test_ids_beyond_all_bounds_are_bad_rows(transform):
    for name, kind, value in (
        ("u", pa.uint64(), 2**63),
        ("v", pa.uint64(), LARGEST),
        ("s", pa.int64(), -(2**63)),
    ):
        ids = pa.array([[1], [2, value]], pa.list_(kind))
        pq.write_table(pa.table({"in0": ids, "in1": ids}), f"{name}.parquet")
    result = transform("u.parquet", "v.parquet", "s.parquet", "--on-error", "skip")
    assert result.status == 0, result.err
    for name, value in (("u", 2**63), ("v", LARGEST), ("s", -(2**63))):
        (good, bad) = pq.read_table(f"out/{name}.parquet.out").to_pylist()
        assert good["error"] is None
        assert len(good["scores"]) == 2
        assert f"{name}.parquet: row 2 $.in0[1]: {value} is outside the voc" in bad["error"]
    failed = transform("u.parquet", "--output", "again")
    assert f"u.parquet: row 2 $.in0[1]: {2**63} is outside the vocabulary" in failed.err


def spoil_pages(name):
    content = bytearray(Path(name).read_bytes())
    content[4:40] = bytes(36)
    Path(name).write_bytes(content)


@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_files_trouble_is_its_own(transform, on_error):
    """Whatever pyarrow cannot read or write fails one file, in one line."""
    ids = pa.array([[1], [2]], IDS)
    good = pa.table({"in0": ids, "in1": ids})
    bad = {
        "float": pa.table({"in0": [[1.0]]}),
        "decimal": pa.table({"in0": [[decimal.Decimal(1)]]}),
        "text": pa.table({"in0": [["1"]]}),
        "deep": pa.table({"in0": [[[1]]]}),
        "struct": pa.table({"in0": [[{"a": 1}]]}),
        "bools": pa.table({"in0": [[True]]}),
        "pages": good,
        "cut": good,
        "columns": pa.table({}),
        "twice": pa.table([ids, ids], ["in0", "in0"]),
    }
    Path("in").mkdir()
    for name, table in bad.items():
        pq.write_table(table, f"in/{name}.parquet")
    spoil_pages("in/pages.parquet")
    Path("in/cut.parquet").write_bytes(Path("in/cut.parquet").read_bytes()[:-20])
    Path("in/empty.parquet").write_bytes(b"")
    for name in ("a", "z"):
        pq.write_table(good, f"in/{name}.parquet")
    pq.write_table(good.slice(0, 0), "in/no_groups.parquet")
    result = transform("in", "--on-error", on_error)
    assert result.status == 2
    failed = sorted([*bad, "empty"])
    lines = [line for line in result.err.splitlines() if line.startswith("o2v: in/")]
    assert [line.partition(".parquet: ")[0] for line in lines] == [f"o2v: in/{n}" for n in failed]
    assert len(result.err.splitlines()) == len(failed) + 2
    assert sorted(path.name.partition(".")[0] for path in Path("out").glob("*.out")) == [
        "a",
        "no_groups",
        "z",
    ]
    assert "3 of 14 files, 4 records, " in result.err
