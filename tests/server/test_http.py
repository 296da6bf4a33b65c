"""The contract's own values: paths, statuses and bodies of errors."""

import orjson
import pytest

from o2v_jax.errors import CheckpointError, InputError, RecordError
from o2v_jax.server.errors import (
    AcceptError,
    BusyError,
    DisconnectedError,
    MediaTypeError,
    MethodError,
    NotFoundError,
    StalledError,
    TooLargeError,
    http_status,
)
from o2v_jax.server.http import Request, error_body


@pytest.mark.parametrize(
    ("path", "merged"),
    [("/ping", "/ping"), ("//ping", "/ping"), ("/endpoints//a///x/", "/endpoints/a/x/"), ("", "/")],
)
def test_slashes_are_merged(path, merged):
    assert Request("GET", path, {}).path == merged


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RecordError("$", "wrong"), 400),
        (InputError("wrong"), 400),
        (NotFoundError("wrong"), 404),
        (MethodError("wrong", ["GET"]), 405),
        (AcceptError("wrong"), 406),
        (StalledError("wrong"), 408),
        (TooLargeError("wrong"), 413),
        (MediaTypeError("wrong"), 415),
        (DisconnectedError(), 499),
        (BusyError("wrong"), 503),
        (CheckpointError("model", ["wrong"]), 500),
        (KeyError("wrong"), 500),
    ],
)
def test_every_error_has_one_status(error, status):
    assert http_status(error) == status


def test_an_error_body_is_json_with_the_path_where_there_is_one():
    assert orjson.loads(error_body("$.a: wrong", path="$.a")) == {
        "error": "$.a: wrong",
        "message": "$.a: wrong",
        "path": "$.a",
    }
    assert error_body("wrong") == b'{"error":"wrong","message":"wrong"}'
