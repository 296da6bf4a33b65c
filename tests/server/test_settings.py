"""The server's settings, as environment variables give them."""

from pathlib import Path

import pytest

from o2v_jax.data import Format
from o2v_jax.errors import InputError
from o2v_jax.server.settings import ServerSettings

LINES = Format.JSON_LINES


def test_settings_default():
    settings = ServerSettings.from_environment({"SAGEMAKER_MAX_PAYLOAD_IN_MB": "", "PATH": "/bin"})
    assert settings == ServerSettings()
    assert settings.max_body_bytes == 6_291_456
    assert settings.execution_parameters() == {
        "MaxConcurrentTransforms": 4,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 6,
    }


def test_settings_of_the_documented_batch_job():
    settings = ServerSettings.from_environment(
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
    assert settings == ServerSettings(
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
    settings = ServerSettings.from_environment(given)
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
        ServerSettings.from_environment({name: value})


def test_a_product_over_100_mb_is_refused():
    given = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "60", "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": "2"}
    with pytest.raises(InputError, match="must be at most 100"):
        ServerSettings.from_environment(given)
