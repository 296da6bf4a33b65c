"""Parquet in and out: the same results, beside the columns that there were."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import o2v_jax
from o2v_jax.transform import Local, Settings, Transform, sources_of
from o2v_jax.transform.parquet import PART_ROWS

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

    def __init__(self, engine, steps):
        self.identity, self.padding, self.works = engine.identity, None, engine.works
        self._engine, self._steps = engine, steps

    def results(self, steps):
        for number, result in enumerate(self._engine.results(steps)):
            if number == self._steps:
                raise KeyboardInterrupt
            yield result


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
def test_an_interrupted_file_goes_on_with_its_next_rows(transform, scorer, steps):
    pq.write_table(table_of(3 * PART_ROWS + 5), "a.parquet", row_group_size=2 * PART_ROWS + 9)
    sources = sources_of(["a.parquet"], Path("out"))
    engine = Local(scorer, "x")
    Transform(sources, Path("whole"), Settings(), engine).run()
    with pytest.raises(KeyboardInterrupt):
        Transform(sources, Path("out"), Settings(), _StopsAfter(engine, steps)).run()
    assert not Path("out/a.parquet.out").exists()
    report = Transform(sources, Path("out"), Settings(), engine).run()
    assert (report.records, report.failed) == (3 * PART_ROWS + 5, [])
    whole, found = (pq.read_table(f"{name}/a.parquet.out") for name in ("whole", "out"))
    assert found.equals(whole)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": [1]}, "a.parquet: has neither a column in0 nor in1"),
        ({"in0": ["a"]}, "a.parquet: column in0 must hold lists of integers, not string"),
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
