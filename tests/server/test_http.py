import io
from pathlib import Path

import orjson
import pytest

from o2v_jax.data import Format
from o2v_jax.errors import CheckpointError, InputError, RecordError
from o2v_jax.server import http
from o2v_jax.server.http import (
    AcceptError,
    BusyError,
    ContentType,
    MediaTypeError,
    StalledError,
    TooLargeError,
    choose_format,
    read_body,
    read_content_type,
    require_plain,
    status_of,
)
from o2v_jax.server.settings import Settings

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
    with pytest.raises(InputError, match="infer_max_seqlens=64,64 is the form"):
        read_content_type(f"application/json; {parameters}")


@pytest.mark.parametrize("header", ["text/csv", "json", ";", "application/json; charset=utf-16"])
def test_other_media_types_are_refused(header):
    with pytest.raises(MediaTypeError, match="cannot be read: use "):
        read_content_type(header)


@pytest.mark.parametrize("header", [None, "", "identity", " Identity"])
def test_a_plain_body_is_let_pass(header):
    require_plain(header)


@pytest.mark.parametrize("header", ["gzip", "br", "identity, gzip"])
def test_other_content_encodings_are_refused(header):
    with pytest.raises(MediaTypeError, match=f"Content-Encoding {header} cannot .*use identity"):
        require_plain(header)


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
    with pytest.raises(AcceptError, match="these can: application/json and application/jsonlines"):
        choose_format(accept, JSON)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RecordError("$", "wrong"), 400),
        (InputError("wrong"), 400),
        (AcceptError("wrong"), 406),
        (StalledError("wrong"), 408),
        (TooLargeError("wrong"), 413),
        (MediaTypeError("wrong"), 415),
        (BusyError("wrong"), 503),
        (CheckpointError("model", ["wrong"]), 500),
        (KeyError("wrong"), 500),
    ],
)
def test_every_error_has_one_status(error, status):
    assert status_of(error) == status


def test_an_error_body_is_json_with_the_path_where_there_is_one():
    assert orjson.loads(http.error_body("$.a: wrong", path="$.a")) == {
        "error": "$.a: wrong",
        "message": "$.a: wrong",
        "path": "$.a",
    }
    assert http.error_body("wrong") == b'{"error":"wrong","message":"wrong"}'


class Trickle(io.BytesIO):
    """A stream that gives at most three bytes at a time, and counts them."""

    def read(self, size=-1):
        return super().read(min(size, 3) if size >= 0 else 3)


@pytest.mark.parametrize("announced", [None, 10])
def test_a_body_may_be_as_long_as_the_limit(announced):
    assert read_body(Trickle(b"0123456789"), announced, 10) == b"0123456789"


def test_no_more_than_one_byte_over_the_limit_is_read():
    announced, streamed = Trickle(b"0" * 100), Trickle(b"0" * 100)
    with pytest.raises(TooLargeError, match="11 bytes, but at most 10"):
        read_body(announced, 11, 10)
    with pytest.raises(TooLargeError, match="longer than the 10 bytes"):
        read_body(streamed, None, 10)
    assert (announced.tell(), streamed.tell()) == (0, 11)


def test_a_body_that_ends_early_is_refused():
    with pytest.raises(InputError, match="ended after 4 of the 9 announced bytes"):
        read_body(Trickle(b"0123"), 9, 100)


def test_settings_default():
    settings = Settings.from_environment({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "", "PATH": "/bin"})
    assert settings == Settings()
    assert settings.max_body_bytes == 6_291_456
    assert settings.execution_parameters() == {
        "MaxConcurrentTransforms": 4,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 6,
    }


def test_settings_of_the_documented_batch_job():
    settings = Settings.from_environment(
        {
            "INFERENCE_PREFERRED_MODE": "embedding",
            "O2V_DEVICES": "2",
            "O2V_DTYPE": "bfloat16",
            "O2V_MODEL": "models/a",
            "SAGEMAKER_BATCH": "True",
            "SAGEMAKER_BATCH_STRATEGY": "MultiRecord",
            "SAGEMAKER_BIND_TO_PORT": "9000",
            "SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT": "application/jsonlines",
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": "1",
        }
    )
    assert settings == Settings(
        Path("models/a"), "embedding", 9000, 1, "MULTI_RECORD", 2, LINES, "bfloat16", 2
    )
    assert settings.model_path == Path("models/a")
    assert settings.max_body_bytes == 1024 * 1024


@pytest.mark.parametrize(
    ("given", "payload", "concurrent"),
    [
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "100"}, 100, 1),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "30"}, 30, 3),
        ({"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "50"}, 2, 50),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}, 100, 1),
        ({"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "0"}, 6, 4),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "20", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "0"}, 20, 4),
        ({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2"}, 50, 2),
    ],
)
def test_concurrency_times_payload_is_at_most_100_mb(given, payload, concurrent):
    settings = Settings.from_environment(given)
    assert (settings.max_payload_mb, settings.max_concurrent) == (payload, concurrent)
    assert settings.max_body_bytes == payload * 1024 * 1024
    assert settings.execution_parameters()["MaxPayloadInMB"] == payload


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("INFERENCE_PREFERRED_MODE", "fast", "classification or embedding"),
        ("O2V_DEVICES", "0", r"1\.\.1024"),
        ("O2V_DTYPE", "float16", "float32 or bfloat16"),
        ("SAGEMAKER_BATCH_STRATEGY", "some", "MULTI_RECORD or SINGLE_RECORD"),
        ("SAGEMAKER_BIND_TO_PORT", "0", r"1\.\.65535"),
        ("SAGEMAKER_BIND_TO_PORT", "eighty", r"1\.\.65535"),
        ("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "text/csv", "application/json or "),
        ("SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", "-1", r"0\.\.100"),
        ("SAGEMAKER_MAX_PAYLOAD_IN_MB", "101", r"0\.\.100"),
    ],
)  # fmt: skip
def test_a_wrong_setting_says_what_would_be_right(name, value, right):
    with pytest.raises(InputError, match=f"{name}={value} must be .*{right}"):
        Settings.from_environment({name: value})


def test_a_product_over_100_mb_is_refused():
    given = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "60", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2"}
    with pytest.raises(InputError, match="must be at most 100"):
        Settings.from_environment(given)
