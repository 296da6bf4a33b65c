"""The failure file of a SageMaker job: always the reason of this job, whatever it holds."""

import json
import logging

import pytest

from o2v_jax.errors import InputError, Interrupted
from o2v_jax.training import read_container_hosts, report_failure

pytestmark = pytest.mark.slow


def fail(prefix, error):
    with pytest.raises(type(error)), report_failure(prefix):
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
    with report_failure(tmp_path):
        assert not (tmp_path / "output" / "failure").exists()
    fail(tmp_path, InputError("earlier"))
    with pytest.raises(Interrupted), report_failure(tmp_path):
        raise Interrupted(15)
    assert not (tmp_path / "output" / "failure").exists()


def test_a_reason_that_cannot_be_written_is_still_raised(tmp_path, caplog):
    (tmp_path / "output").write_text("a file")
    with (
        caplog.at_level(logging.WARNING, "o2v_jax"),
        pytest.raises(InputError, match="the real reason"),
        report_failure(tmp_path),
    ):
        raise InputError("the real reason")
    assert f"{tmp_path / 'output' / 'failure'}: cannot be written" in caplog.text


def test_nothing_is_made_where_there_is_no_layout(tmp_path):
    missing = tmp_path / "ml"
    refused = pytest.raises(InputError, match=f"--prefix {missing}: must be a directory")
    with refused, report_failure(missing):
        pytest.fail("began")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def layout(tmp_path):
    """A function of resourceconfig.json and S3DistributionType: the layout of a job."""

    def write(resources, distribution="FullyReplicated"):
        folder = tmp_path / "input" / "config"
        folder.mkdir(parents=True)
        (folder / "resourceconfig.json").write_text(json.dumps(resources))
        channel = {"TrainingInputMode": "File", "S3DistributionType": distribution}
        (folder / "inputdataconfig.json").write_text(json.dumps({"train": channel}))
        return tmp_path

    return write


def test_the_hosts_of_a_job_meet_at_the_first_by_name(layout):
    names = ["algo-2", "algo-1", "algo-3"]
    hosts = read_container_hosts(layout({"hosts": names, "current_host": "algo-2"}))
    assert hosts.names == ("algo-1", "algo-2", "algo-3")
    assert (hosts.name, hosts.index, hosts.first) == ("algo-2", 1, False)
    assert hosts.coordinator == "algo-1:8476"


def test_one_host_needs_no_other_and_may_have_a_part_of_the_data(layout):
    alone = layout({"hosts": ["algo-1"], "current_host": "algo-1"}, "ShardedByS3Key")
    assert read_container_hosts(alone).alone


def test_several_hosts_need_all_of_the_data(layout):
    resources = {"hosts": ["algo-1", "algo-2"], "current_host": "algo-1"}
    with pytest.raises(InputError, match="channel train has the distribution ShardedByS3Key"):
        read_container_hosts(layout(resources, "ShardedByS3Key"))


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"hosts": ["algo-1", "algo-2"]}, "current_host must be the name of this host, not None"),
        ({"hosts": ["algo-1"], "current_host": 5}, "current_host must be the name of this host"),
        ({"hosts": ["algo-1", "algo-1"], "current_host": "algo-1"}, "must be different names"),
        ({"hosts": 5}, "hosts must be a list of names"),
    ],
)
def test_hosts_that_are_not_said_right_are_named(layout, resources, message):
    with pytest.raises(InputError, match=f"resourceconfig.json: .*{message}"):
        read_container_hosts(layout(resources))


@pytest.mark.parametrize("resources", [{}, {"current_host": "algo-1"}, {"hosts": []}])
def test_a_host_alone_need_not_be_named(layout, resources):
    assert read_container_hosts(layout(resources)).name == "algo-1"
