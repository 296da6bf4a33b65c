"""Whatever the body holds, the answer is an answer or a 400 that a person can read."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MEDIA_TYPES = st.sampled_from(
    [
        None,
        "application/json",
        "application/jsonlines",
        "application/json; infer_max_seqlens=3,9",
        "application/jsonlines;infer_max_seqlens=5000,1",
    ]
)
IDS = st.lists(st.integers(0, 39), max_size=12)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
SIDES = IDS | st.lists(st.integers(0, 39) | SCALARS, max_size=4) | ANYTHING
RECORDS = st.fixed_dictionaries({}, optional={"in0": SIDES, "in1": SIDES, "label": ANYTHING})
GOOD = st.fixed_dictionaries({"in0": IDS, "in1": IDS}) | st.fixed_dictionaries({"in0": IDS})
LISTS = st.lists(GOOD, max_size=5) | st.lists(GOOD | RECORDS | ANYTHING, max_size=4)
DOCUMENTS = st.builds(lambda records: json.dumps({"instances": records}).encode(), LISTS)
LINES = st.builds(
    lambda records, end: end.join(map(json.dumps, records)).encode(),
    LISTS,
    st.sampled_from(["\n", "\r\n", "\n\n", "\u2028", ""]),
)


@st.composite
def damaged(draw):
    """A well-formed body with a piece cut out and other bytes put there."""
    body = draw(DOCUMENTS | LINES)
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, len(body)))
    return body[:start] + draw(st.binary(max_size=4)) + body[end:]


VALUES = st.builds(lambda value: json.dumps(value).encode(), ANYTHING)
BODIES = DOCUMENTS | LINES | VALUES | st.binary(max_size=80) | damaged()


@pytest.mark.usefixtures("still_good")
def test_no_body_is_answered_by_500(server):
    seen = set()

    @settings(
        max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(BODIES, MEDIA_TYPES)
    def check(body, media_type):
        reply = server.invoke(body, media_type)
        seen.add(reply.status)
        assert reply.status in (200, 400), reply.body
        if reply.status == 400:
            assert set(reply.json) - {"path"} == {"error", "message"}

    check()
    assert seen == {200, 400}
