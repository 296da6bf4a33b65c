"""DataWarnings are right about where a zero stands, whatever the rows around it."""

import pytest

from o2v_jax.data.ragged import Ragged
from o2v_jax.data.warnings import zero_inside


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], False),
        ([[]], False),
        ([[0]], False),
        ([[1, 2], [3]], False),
        ([[1, 0, 0], [3]], False),
        ([[0], [3]], False),
        ([[1, 0], [], [0, 0], [2]], False),
        ([[0, 1]], True),
        ([[5], [1, 0, 2]], True),
        ([[], [5, 0, 0, 2], []], True),
    ],
)
def test_zero_inside(rows, expected):
    assert zero_inside(Ragged.of(rows)) is expected
