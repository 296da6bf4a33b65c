"""Filters, by the examples of the SageMaker developer guide and API reference."""

import pytest

from o2v_jax.errors import InputError
from o2v_jax.transform.write.jsonpath import Filter, parse_filter

RECORD = {"id": 7, "features": [1, 2, 3, 4, 5, 6], "in0": [3], "field1": {"child1": 1, "child2": 2}}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("$.features", RECORD, [1, 2, 3, 4, 5, 6]),
        ("$['in0','id']", RECORD, {"in0": [3], "id": 7}),
        ("$.field1.['child1','child2']", RECORD, {"child1": 1, "child2": 2}),
        ("$.field1['child2']", RECORD, 2),
        ("$.field1.*", RECORD, [1, 2]),
        ("$.features[1:]", RECORD, [2, 3, 4, 5, 6]),
        ("$[0,5:]", RECORD["features"], [1, 6]),
        ("$[1]", RECORD["features"], 2),
        ("$[1,3]", RECORD["features"], [2, 4]),
        ("$..child1", RECORD, [1]),
    ],
)
def test_what_filters_select(path, value, expected):
    assert Filter(path)(value) == expected


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("$.nothing", "finds nothing"),
        ("$['id','nothing']", "finds no 'nothing'"),
        ("$.features[6]", "finds nothing"),
    ],
)
def test_a_filter_that_finds_nothing_says_so(path, message):
    with pytest.raises(InputError, match=message):
        Filter(path)(RECORD)


@pytest.mark.parametrize("path", ["", "features", "$[", "$.", "$.a | $.b", "$['a'", "$[1:2:3:4]"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(InputError, match="JSONPath"):
        Filter(path)


def test_the_whole_record_is_no_filter():
    assert parse_filter("$") is None
