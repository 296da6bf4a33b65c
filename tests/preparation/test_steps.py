"""The steps between reading and writing: dealing out, numbering, cells, labels."""

from itertools import chain

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from o2v_jax import InputError, Ragged, Vocabulary
from o2v_jax.preparation import LabelColumn, Side, Split
from o2v_jax.preparation.cells import LARGEST_ID, Words, encode
from o2v_jax.preparation.label_column import Labels
from o2v_jax.preparation.settings import Numbering

SHARES = st.floats(0, 0.49)
TOKENS = st.lists(st.sampled_from(["a", "b", "c", "d", "<unk>", "é"]))


def dealt(split, chunks):
    """The part of each record, in order."""
    dealer, parts = split.make_dealer(), []
    for records in chunks:
        found = {int(at): part for part, which in dealer.deal(records) for at in which}
        assert sorted(found) == [*range(records)], "each record goes to one part"
        parts += [found[at] for at in range(records)]
    return parts


@given(SHARES, SHARES, st.integers(0, 2**32), st.lists(st.integers(0, 50), max_size=8))
def test_a_split_is_a_partition_however_records_are_chunked(validation, test, seed, chunks):
    split = Split(validation, test, seed)
    assert dealt(split, chunks) == dealt(split, [sum(chunks)])


def test_a_split_has_the_shares_and_depends_on_the_seed():
    first, other = (dealt(Split(0.2, 0.1, seed), [20_000]) for seed in (0, 1))
    assert first != other
    for part, share in (("validation", 0.2), ("test", 0.1), ("train", 0.7)):
        assert first.count(part) / 20_000 == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (-0.1, 0.2), (float("nan"), 0.1), (1.0, 0.0)])
def test_shares_that_are_none(shares):
    with pytest.raises(InputError, match="sum to less than 1"):
        Split(*shares)


@given(st.lists(TOKENS, min_size=1), st.lists(TOKENS), st.integers(2, 9))
def test_counting_by_numbers_is_what_the_library_counts(train, others, size):
    words = Words()
    for row in chain(others, train):
        words.number(row)
    words.count(words.number(chain.from_iterable(train)))
    assert words.make_vocabulary(size).tokens == Vocabulary.build(train, size).tokens


def test_rare_tokens_get_no_id():
    words = Words()
    words.count(words.number("aabbbc"))
    assert [*words.make_vocabulary(9, min_count=2).tokens] == ["<pad>", "<unk>", "b", "a"]


@given(st.lists(TOKENS), st.booleans())
def test_numbers_become_the_ids_that_the_vocabulary_says(rows, unknown):
    tokens = {"a": 4, "b": 2} | ({"<unk>": 1} if unknown else {})
    vocabulary, words = Vocabulary(tokens), Words()
    numbers = Ragged.of([words.number(row).tolist() for row in rows])
    ids, known = Numbering.of(words, Side("x"), vocabulary).apply(numbers)
    assert [ids.row(at).tolist() for at in range(len(rows))] == [
        *map(vocabulary.encode_tokens, rows)
    ]
    assert known == sum(token in tokens for row in rows for token in row)


def tokens_of(kind, cells):
    words = Words()
    rows, faults = encode(kind, pa.array(cells), words)
    names = [*words._numbers]
    return [[names[number] for number in rows.row(at)] for at in range(len(rows))], faults


@pytest.mark.parametrize(
    ("kind", "cells", "tokens"),
    [
        ("text", ["A man's dog.", "Aha"], [["a", "man", "'s", "dog", "."], ["aha"]]),
        ("tokens", ["A man's dog.", " ``  x "], [["a", "man's", "dog."], ['"', "x"]]),
        ("tokens", [["A b", "C"], ["d"]], [["a b", "c"], ["d"]]),
        ("value", ["A man", "``"], [["A man"], ["``"]]),
        ("value", ["1.0", "1e+15", "1.50"], [["1.0"], ["1e+15"], ["1.50"]]),
        ("tokens", ["7.0", "version 2.0"], [["7.0"], ["version", "2.0"]]),
        ("text", ["2.0"], [["2.0"]]),
    ],
)
def test_kinds_of_tokens(kind, cells, tokens):
    assert tokens_of(kind, cells) == (tokens, {})


@pytest.mark.parametrize("kind", ["text", "tokens", "value", "ids"])
def test_empty_cells_are_faults(kind):
    _, faults = encode(kind, pa.array(["1", "", "2", " "]), Words())
    assert faults == dict.fromkeys((1, 3), "the cell is empty")


@pytest.mark.parametrize(
    ("cells", "rows", "faults"),
    [
        (["1  2", "0", f"{LARGEST_ID}"], [[1, 2], [0], [LARGEST_ID]], {}),
        ([[1, 2], [0]], [[1, 2], [0]], {}),
        (["1", "1 -2", "x 5"], None, {1: "'-2'", 2: "'x'"}),
        (
            [f"{LARGEST_ID + 1}", "9" * 5000, "1.5", "٣"],
            None,
            {0: "3000000", 1: "999", 2: "1.5", 3: "٣"},
        ),
        ([[1], [7, -2, -3], [None], [LARGEST_ID + 1]], None, {1: "-2 ", 2: "null ", 3: "3000000 "}),
        ([[1], None, []], None, {1: "empty", 2: "empty"}),
        (["1.0 2", "3.0"], [[1, 2], [3]], {}),
        ([[1.0, 2.0], [0.0]], [[1, 2], [0]], {}),
        (
            [[0.5], [float("nan")], [1e15], [1.0]],
            None,
            {0: "0.5 is", 1: "nan is", 2: "1000000000000000.0 is"},
        ),
        ([None, [], [None]], None, {0: "empty", 1: "empty", 2: "null "}),
        (["1e+15", "[1, 2]"], None, {0: "'1000000000000000' is", 1: "write ids with blanks"}),
    ],
)
def test_ids_pass_through_or_are_faults(cells, rows, faults):
    found, wrong = encode("ids", pa.array(cells), Words())
    assert wrong.keys() == faults.keys()
    assert all(shown in wrong[row] for row, shown in faults.items())
    if rows:
        assert [found.row(at).tolist() for at in range(len(found))] == rows


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        ("text", [["a"]]),
        ("value", [["a"]]),
        ("ids", [["a"]]),
        ("tokens", [[1]]),
        ("tokens", [[0.5]]),
    ],
)
def test_lists_of_the_wrong_kind(kind, cells):
    with pytest.raises(InputError, match=f"is not read as {kind}"):
        encode(kind, pa.array(cells), Words())


def outcome_of(cells, **source):
    labels = Labels(LabelColumn("y", **source))
    values, faults = labels.read((pa.array(cells),), len(cells))
    kept = values[[row for row in range(len(cells)) if row not in faults]]
    labels.keep(kept[:1])
    labels.keep(kept[1:])
    outcome = labels.conclude()
    return outcome, outcome.final(kept).tolist(), faults


@pytest.mark.parametrize(
    ("cells", "source", "labels", "settings"),
    [
        (["0", "1", " 1 "], {}, [0, 1, 1], ("softmax", "2")),
        (["1"], {}, [1], ("softmax", "2")),
        (["2", "0", "1.0"], {}, [2, 0, 1], ("softmax", "3")),
        (["0", "2"], {}, [0, 2], ("mean_squared_error", None)),
        (["0", "2"], {"output_layer": "softmax"}, [0, 2], ("softmax", "3")),
        (["0", "1"], {"output_layer": "mean_squared_error"}, [0, 1], ("mean_squared_error", None)),
        (["0.5", "-4e1"], {}, [0.5, -40], ("mean_squared_error", None)),
        ([str(n) for n in range(31)], {}, [*range(31)], ("mean_squared_error", None)),
        (["b", "a", "c", "a"], {}, [1, 0, 2, 0], ("softmax", "3")),
        (["b", "3"], {}, [1, 0], ("softmax", "2")),
        (["b", "b"], {}, [0, 0], ("softmax", "2")),
        (["c", "a"], {"classes": ("c", "b", "a")}, [0, 2], ("softmax", "3")),
        (["5", "1"], {"classes": ("1", "5")}, [1, 0], ("softmax", "2")),
    ],
)
def test_labels(cells, source, labels, settings):
    outcome, values, faults = outcome_of(cells, **source)
    assert (values, faults) == (labels, {})
    found = outcome.hyperparameters
    assert (found["output_layer"], found.get("num_classes")) == settings


@pytest.mark.parametrize(
    ("cells", "source", "fault"),
    [
        (["1", "x"], {}, "the label 'x' is not a finite number"),
        (["1", "inf"], {}, "the label 'inf' is not a finite number"),
        (["1", "1_0"], {}, "the label '1_0' is not a finite number"),
        (["1.5", "-1e39"], {}, "the label '-1e39' is not a number that float32 can hold"),
        (["1", ""], {}, "the label is empty"),
        (["b", " "], {}, "the label is empty"),
        (["1", "x"], {"output_layer": "mean_squared_error"}, "'x' is not a finite number"),
        (["1", "30"], {"output_layer": "softmax"}, "'30' is not a class, an integer in 0..29"),
        (["1", "0.5"], {"output_layer": "softmax"}, "'0.5' is not a class"),
        (["a", "-"], {"classes": ("a", "b")}, "the label '-' is none of the classes a, b"),
    ],
)
def test_labels_that_are_none(cells, source, fault):
    _, values, faults = outcome_of(cells, **source)
    assert len(values) == 1
    assert faults.keys() == {1}
    assert fault in faults[1]


@pytest.mark.parametrize(
    ("cells", "labels", "faults"),
    [
        (["nan", "cat", "dog"], [0, 1], {0: "the label 'nan' means a missing label"}),
        (["cat", "NaN", "dog"], [0, 1], {1: "the label 'NaN' means a missing label"}),
        (["inf", "cat"], [1, 0], {}),
        (["nan", "1", "0"], [1, 0], {0: "the label 'nan' is not a finite number"}),
        (["x", "1", "0"], [1, 0], {0: "the label 'x' is not a finite number"}),
        (["1", "x", "y"], [0, 1, 2], {}),
        (["nan", ""], [], {0: "'nan' is not a finite number", 1: "the label is empty"}),
    ],
)
def test_most_labels_say_whether_they_are_numbers_or_names(cells, labels, faults):
    _, values, wrong = outcome_of(cells)
    assert values == labels
    assert wrong.keys() == faults.keys()
    assert all(fault in wrong[row] for row, fault in faults.items())


def test_a_number_among_names_is_told():
    outcome, _, _ = outcome_of(["b", "3", "a", "a"])
    assert outcome.text == "3=0, a=1, b=2; '3' is read as a name, as most labels are not numbers"
    assert outcome_of(["b", "a"])[0].text == "a=0, b=1"


def test_labels_after_some_that_say_nothing():
    labels = Labels(LabelColumn("y"))
    _, first = labels.read((pa.array(["nan", "nan"]),), 2)
    values, faults = labels.read((pa.array(["b", "nan", "a"]),), 3)
    labels.keep(values[[0, 2]])
    assert (first.keys(), faults.keys(), labels.conclude().names) == (
        {0, 1},
        {1},
        {"a": 0, "b": 1},
    )


def test_classes_that_became_floats():
    assert outcome_of(["1.0", "2"], classes=("2", "1"))[1:] == ([1, 0], {})
    assert outcome_of(["1.0", "2"], classes=("2", "1.0"))[1:] == ([1, 0], {})


@pytest.mark.parametrize("first", ["nan", "-inf", "1_0"])
def test_a_first_label_that_is_no_finite_number_is_no_name(first):
    _, faults = Labels(LabelColumn("y")).read((pa.array([first, "1"]),), 2)
    assert faults == {0: f"the label {first!r} is not a finite number"}


def test_a_name_of_left_out_records_is_no_class():
    labels = Labels(LabelColumn("y"))
    values, _ = labels.read((pa.array(["z", "b", "a"]),), 3)
    labels.keep(values[1:])
    outcome = labels.conclude()
    assert outcome.names == {"a": 0, "b": 1}
    assert outcome.final(values[1:]).tolist() == [1, 0]


def test_more_names_than_classes():
    with pytest.raises(
        InputError, match=r"'n0', 'n1', 'n2' \.\.\.\), and more of them than the 30"
    ):
        outcome_of([f"n{number}" for number in range(31)])


@pytest.mark.parametrize("classes", [("a",), ("a", "a"), ("a", ""), tuple(map(str, range(31)))])
def test_classes_that_are_none(classes):
    with pytest.raises(InputError, match="must be 2 to 30 different names"):
        LabelColumn("y", classes)


def test_labels_of_no_column_are_positives():
    values, faults = Labels(None).read((), 3)
    np.testing.assert_array_equal(values, np.ones(3))
    assert faults == {}
