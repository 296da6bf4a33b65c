"""The failure file of a SageMaker job: always the reason of this job, whatever it holds."""

import logging

import pytest

from o2v_jax.errors import InputError, Interrupted
from o2v_jax.training import failure_reported


def fail(prefix, error):
    with pytest.raises(type(error)), failure_reported(prefix):
        raise error
    return (prefix / "output" / "failure").read_bytes()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (InputError("no Ärger"), "no Ärger".encode()),
        (InputError("name \udcff"), b"name \\udcff"),
        (InputError("x" * 5000), b"x" * 1024),
        (OSError(28, "No space left on device"), b"[Errno 28] No space left on device"),
        (ZeroDivisionError("n / 0"), b"internal error: ZeroDivisionError: n / 0"),
    ],
)
def test_the_reason_is_written(tmp_path, error, reason):
    assert fail(tmp_path, error) == reason


def test_an_earlier_reason_goes(tmp_path):
    fail(tmp_path, InputError("earlier"))
    with failure_reported(tmp_path):
        assert not (tmp_path / "output" / "failure").exists()
    fail(tmp_path, InputError("earlier"))
    with pytest.raises(Interrupted), failure_reported(tmp_path):
        raise Interrupted(15)
    assert not (tmp_path / "output" / "failure").exists()


def test_a_reason_that_cannot_be_written_is_still_raised(tmp_path, caplog):
    (tmp_path / "output").write_text("a file")
    with (
        caplog.at_level(logging.WARNING, "o2v_jax"),
        pytest.raises(InputError, match="the real reason"),
        failure_reported(tmp_path),
    ):
        raise InputError("the real reason")
    assert f"{tmp_path / 'output' / 'failure'}: cannot be written" in caplog.text


def test_nothing_is_made_where_there_is_no_layout(tmp_path):
    missing = tmp_path / "ml"
    refused = pytest.raises(InputError, match=f"--prefix {missing}: must be a directory")
    with refused, failure_reported(missing):
        pytest.fail("began")
    assert list(tmp_path.iterdir()) == []
