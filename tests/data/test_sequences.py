"""Every container of sequences is read alike, wherever one is given."""

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

from o2v_jax import InputError, Ragged, Scorer

ROWS = [[4, 7], [5, 9], [4, 7]]
LISTS = pa.list_(pa.int64())


class Tensor:
    """As torch's: an array of another library, by the row or as a whole."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return self.values

    def __len__(self):
        return len(self.values)


class HalfTensor:
    """As torch's in bfloat16, which NumPy does not know: only DLPack gives its values."""

    def __init__(self, values):
        self.values = jnp.asarray(values).astype(jnp.bfloat16)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Got unsupported ScalarType BFloat16")

    def __dlpack__(self, **options):
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.values.__dlpack_device__()

    def __len__(self):
        return len(self.values)


class Stream:
    """As a polars Series: a column behind the Arrow C interface."""

    def __init__(self, rows):
        self.column = pa.chunked_array([rows[:1], rows[1:]])

    def __arrow_c_stream__(self, schema=None):
        return self.column.__arrow_c_stream__(schema)


def pandas_series(rows, **options):
    return pytest.importorskip("pandas").Series(rows, **options)


def pandas_frame(rows):
    return pytest.importorskip("pandas").DataFrame(rows)


def arrow_series(rows):
    pandas = pytest.importorskip("pandas")
    return pandas.Series(rows, dtype=pandas.ArrowDtype(pa.array(rows).type))


CONTAINERS = {
    "lists": list,
    "tuples": lambda rows: tuple(map(tuple, rows)),
    "generator": iter,
    "NumPy": np.array,
    "NumPy rows": lambda rows: [np.array(row) for row in rows],
    "rows of NumPy and lists": lambda rows: [np.array(rows[0]), *rows[1:]],
    "JAX": jnp.array,
    "JAX rows": lambda rows: list(map(jnp.array, rows)),
    "torch": Tensor,
    "torch rows": lambda rows: list(map(Tensor, rows)),
    "Arrow": pa.array,
    "Arrow chunks": lambda rows: pa.chunked_array([rows[:1], rows[1:]]),
    "Arrow, part": lambda rows: pa.array([[3], *rows, [8]])[1:-1],
    "Arrow large lists": lambda rows: pa.array(rows, pa.large_list(pa.array(rows[0]).type)),
    "Arrow fixed size": lambda rows: pa.array(rows, pa.list_(pa.array(rows[0]).type, len(rows[0]))),
    "Arrow views": lambda rows: pa.array(rows, pa.list_view(pa.array(rows[0]).type)),
    "Arrow scalars": lambda rows: list(pa.array(rows)),
    "Arrow rows": lambda rows: list(map(pa.array, rows)),
    "polars": Stream,
    "pandas": pandas_series,
    "pandas of Arrow": arrow_series,
    "pandas frame": pandas_frame,
    "pandas rows": lambda rows: list(map(pandas_series, rows)),
}


@pytest.fixture(scope="module")
def scorer(config_of, model_of):
    config = config_of(enc0_network="pooled_embedding", num_classes=2, mlp_layers=0)
    return Scorer(model_of(config), max_programs=24)


@pytest.fixture(scope="module")
def expected(scorer):
    encodings = scorer.embed(in1=ROWS)
    return scorer.score(ROWS, ROWS), encodings, scorer.rank(ROWS[0], ROWS, 3)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_ids_are_read_from_every_container_by_every_method(kind, scorer, expected):
    make, (scores, encodings, ranking) = CONTAINERS[kind], expected
    np.testing.assert_array_equal(Ragged.of(make(ROWS)).ids, np.ravel(ROWS))
    np.testing.assert_array_equal(scorer.score(make(ROWS), make(ROWS)), scores)
    np.testing.assert_array_equal(scorer.embed(in1=make(ROWS)), encodings)
    ranked = scorer.rank(ROWS[0], make(ROWS), 3)
    np.testing.assert_array_equal(ranked.indices, ranking.indices)


@pytest.mark.parametrize("kind", [*CONTAINERS, "bfloat16", "float16", "float64", "torch bfloat16"])
def test_encodings_are_read_from_every_container(kind, scorer, expected):
    encodings, ranking = expected[1:]
    others = {
        "bfloat16": lambda rows: jnp.asarray(rows).astype(jnp.bfloat16),
        "float16": lambda rows: np.array(rows, np.float16),
        "float64": np.array,
        "torch bfloat16": HalfTensor,
    }
    given = (CONTAINERS | others)[kind](encodings.tolist())
    ranked = scorer.rank(ROWS[0], given, 3)
    np.testing.assert_allclose(ranked.scores, ranking.scores, atol=1e-2)
    if kind not in others:
        np.testing.assert_allclose(ranked.scores, ranking.scores, rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        *(list, tuple, np.array, jnp.array, Tensor, pa.array, pandas_series),
        lambda row: pandas_series(row, dtype="Int64" if type(row[0]) is int else "Float64"),
    ],
)
def test_a_query_is_read_from_every_container(make, scorer, expected):
    for query in (ROWS[0], scorer.embed(in0=ROWS[:1])[0].tolist()):
        ranked = scorer.rank(make(query), ROWS, 3)
        np.testing.assert_allclose(ranked.scores, expected[2].scores, rtol=1e-6)


def test_lists_of_empty_arrays_of_floats_are_empty_sequences():
    ragged = Ragged.of([np.array([]), np.array([1, 2]), []])
    assert (ragged.ids.tolist(), ragged.offsets.tolist()) == ([1, 2], [0, 0, 2, 2])


WRONG = {
    "a number": (5, "got 5"),
    "None": (None, "got None"),
    "a text": ("a man", "got 'a man'"),
    "bytes": (b"ab", "got bytes"),
    "texts": (["ab"], "this model has no vocabulary|as one of the sequences"),
    "rows of bytes": ([b"ab"], "as one of the sequences"),
    "a dict": ({1: [2]}, "got dict"),
    "sets": ([{1, 2}], "set"),
    "a missing row": ([[1], None], "None as one of the sequences"),
    "floats": ([[1.5]], "must be integers, but these are float64"),
    "an array of floats": (np.ones((1, 2)), "must be integers, but these are float64"),
    "bools": ([[True]], "must be integers, but these are bool"),
    "None within": ([[None]], "must be integers"),
    "three dimensions in lists": ([[[1]]], "three dimensions"),
    "three dimensions": (np.zeros((2, 2, 2), int), "an array of 3 dimensions"),
    "one dimension": (np.arange(3), "an array of 1 dimension"),
    "one row": ([1, 2], "got 1 as one of the sequences"),
    "a masked array": (np.ma.masked_array([[1, 2]], mask=[[0, 1]]), "masked"),
    "too large": ([[2**40]], "must fit int32"),
    "Arrow of one dimension": (pa.array([1, 2]), "an Arrow column of type int64"),
    "Arrow of three": (pa.array([[[1]]]), "an Arrow column of type list"),
    "Arrow with null rows": (pa.array([[1], None]), "1 nulls for sequences"),
    "Arrow with nulls": (pa.array([[1, None]]), "1 nulls in its sequences"),
    "Arrow of texts": (pa.array([["a"]]), "this model has no vocabulary|must be integers"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_holds_no_sequences_of_ids_is_refused_by_every_method(what, scorer):
    rows, said = WRONG[what]
    methods = [
        lambda: Ragged.of(rows),
        lambda: scorer.score(rows, ROWS[:1]),
        lambda: scorer.score(ROWS[:1], rows),
        lambda: scorer.embed(in0=rows),
    ]
    # floats are encodings there, too few of them
    methods += [] if "floats" in what else [lambda: scorer.rank([4], rows, 1)]
    for method in methods:
        if method is methods[3] and rows is None:
            continue
        with pytest.raises(InputError, match=said):
            method()


@pytest.mark.parametrize("query", [3, None, "ab", [[1]], np.ones((1, 8)), {1: 2}, [None], [1.5]])
def test_what_is_no_query_is_refused(query, scorer):
    with pytest.raises(
        InputError, match=r"query|ids must be integers|encodings must be|no vocabulary"
    ):
        scorer.rank(query, ROWS, 1)


def test_integers_of_several_types_are_ids_and_not_encodings(scorer):
    """NumPy makes floats of int64 beside uint64; here as many as enc_dim."""
    ids = [3, 1, 4, 1, 5, 9, 2, 6]
    mixed = [np.uint64(ids[0]), *map(np.int64, ids[1:])]
    expected = scorer.rank(ids, [ids, [1]], 2, class_index=0)
    for query, candidates in ((mixed, [ids, [1]]), (ids, [np.array(ids, np.uint64), [1]])):
        ranking = scorer.rank(query, candidates, 2, class_index=0)
        np.testing.assert_array_equal(ranking.indices, expected.indices)
        np.testing.assert_allclose(ranking.scores, expected.scores, rtol=1e-6)
    with pytest.raises(InputError, match="must fit int32"):
        Ragged.of([[-1, 2**63]])


def test_missing_values_among_pandas_integers_are_refused(scorer):
    pandas = pytest.importorskip("pandas")
    missing = pandas.array([1, None] * 4, dtype="Int64")
    for call in (
        lambda: scorer.score([missing], [[1]]),
        lambda: scorer.rank(missing, [[1]], 1, class_index=0),
        lambda: scorer.rank([1], [missing], 1, class_index=0),
    ):
        with pytest.raises(InputError, match=r"missing values|query must be"):
            call()


@pytest.mark.parametrize("candidates", [np.ones((2, 9)), [[0.5] * 7], [[0.5] * 8, [1.0]]])
def test_encodings_of_another_width_are_refused(candidates, scorer):
    with pytest.raises(InputError, match=r"encodings must be \[n, 8\]"):
        scorer.rank([4], candidates, 1)


def test_ragged_arrays_of_other_types_are_converted_or_refused():
    ragged = Ragged([4, 7], np.array([0, 2], np.int32))
    assert (ragged.ids.dtype, ragged.offsets.dtype) == (np.int32, np.int64)
    wrong = [
        (np.array([1.7]), np.array([0, 1])),
        (np.array([True]), np.array([0, 1])),
        (np.array([[1]]), np.array([0, 1])),
        (np.array([2**40]), np.array([0, 1])),
        (np.array([1]), np.array([0.0, 1.0])),
        (np.array([1]), np.array([[0, 1]])),
        (np.array([1]), np.array([], np.int64)),
        (np.array([1]), None),
        ("a", [0, 1]),
    ]
    for ids, offsets in wrong:
        with pytest.raises(InputError):
            Ragged(ids, offsets)
