"""Content-Type, Content-Encoding and Accept headers."""

import pytest

from o2v_jax.data import Format
from o2v_jax.errors import InputError
from o2v_jax.server.errors import AcceptError, MediaTypeError
from o2v_jax.server.media_types import (
    ContentType,
    choose_format,
    read_content_type,
    require_identity,
)

JSON, LINES = Format.JSON, Format.JSON_LINES


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, ContentType()),
        ("", ContentType()),
        ("application/json", ContentType(JSON)),
        ("Application/JSON; charset=UTF-8", ContentType(JSON)),
        ("application/jsonlines", ContentType(LINES)),
        ("application/x-jsonlines", ContentType(LINES)),
        ("application/json;infer_max_seqlens=64,32", ContentType(JSON, (64, 32))),
        ("application/json; infer_max_seqlens=64,32", ContentType(JSON, (64, 32))),
        ('application/jsonlines; infer_max_seqlens="64, 32"', ContentType(LINES, (64, 32))),
        ("application/json ; INFER_MAX_SEQLENS = 1,5000 ; q=1", ContentType(JSON, (1, 5000))),
    ],
)  # fmt: skip
def test_content_types(header, expected):
    assert read_content_type(header) == expected


@pytest.mark.parametrize(
    "value", ["64", "64,", "0,64", "64,5001", "a,b", "64,64,64", "", "-1,2", '"1,2']
)
def test_wrong_sequence_lengths_are_refused(value):
    with pytest.raises(InputError, match=r"infer_max_seqlens=.*(64,64|1\.\.5000)"):
        read_content_type(f"application/json; infer_max_seqlens={value}")


@pytest.mark.parametrize(
    "parameters", ["infer_max_seqlens=1,2;infer_max_seqlens=3,4", "infer_max_len=1,2"]
)
def test_doubled_or_misspelt_sequence_lengths_are_refused(parameters):
    with pytest.raises(InputError, match="the form is infer_max_seqlens=64,64"):
        read_content_type(f"application/json; {parameters}")


@pytest.mark.parametrize("header", ["text/csv", "json", ";", "application/json; charset=utf-16"])
def test_other_media_types_are_refused(header):
    with pytest.raises(MediaTypeError, match="cannot be read: use "):
        read_content_type(header)


@pytest.mark.parametrize("header", [None, "", "identity", " Identity"])
def test_a_plain_body_is_let_pass(header):
    require_identity(header)


@pytest.mark.parametrize("header", ["gzip", "br", "identity, gzip"])
def test_other_content_encodings_are_refused(header):
    with pytest.raises(MediaTypeError, match=f"Content-Encoding {header} cannot .*use identity"):
        require_identity(header)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, LINES),
        (" ", LINES),
        ("*/*", LINES),
        ("application/*", LINES),
        ("application/json", JSON),
        ("application/json; charset=utf-8", JSON),
        ("application/x-jsonlines", LINES),
        ("text/html, application/json;q=0.5, application/jsonlines;q=0.2", JSON),
        ("application/json;q=0.2, application/jsonlines;q=0.5", LINES),
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", LINES),
    ],
)
def test_accept(accept, expected):
    assert choose_format(accept, LINES) == expected


@pytest.mark.parametrize(
    "accept", ["text/html", "application/json;q=0", ",,", "nonsense", "application/json;q=x"]
)
def test_what_cannot_be_answered_is_refused(accept):
    with pytest.raises(AcceptError, match="use application/json or application/jsonlines"):
        choose_format(accept, JSON)
