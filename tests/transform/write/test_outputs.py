"""What is written counts as done only if all before it was."""

import errno
import resource
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from o2v_jax.errors import InputError
from o2v_jax.transform import Position, Transform, TransformReport, TransformSettings, find_sources
from o2v_jax.transform.engines.base import Step
from o2v_jax.transform.write.origin import Origin
from o2v_jax.transform.write.outputs import Writer, complete
from o2v_jax.transform.write.state import RunState


class Failing:
    """Results that a disk has no room for."""

    def __init__(self, error):
        self.error = error

    def encode(self, *_, **__):
        yield b"a"
        raise self.error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError()])
def test_nothing_behind_a_failed_write_is_done(tmp_path, error):
    (tmp_path / "a.jsonl").write_bytes(b"{}")
    sources, output = find_sources([str(tmp_path / "a.jsonl")], tmp_path / "out"), tmp_path / "out"
    settings = [TransformSettings().of(source.path) for source in sources]
    with RunState(output) as state:
        state.begin({}, sources)
        writer = Writer(output, sources, settings, state, TransformReport(1), skip=False)
        with pytest.raises((InputError, MemoryError)):
            writer.run_step((Step(0, work=1), Failing(error)))
        with pytest.raises(InputError, match="stopped"):
            writer.run_step((Step(0, end=Position(final=True)), None))
        assert not state.of(0).position.final
        assert not (output / "a.jsonl.out").exists()
        writer.close()


@contextmanager
def room_for(size):
    """A limit on the size of files stands for that of a disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_names_the_folder_and_the_file(tmp_path):
    file, output = tmp_path / "a.jsonl", tmp_path / "out"
    file.write_bytes(b"{}")
    sources = find_sources([str(file)], output)
    transform = Transform(
        sources, output, TransformSettings(), SimpleNamespace(identity="x", knows_model=True)
    )
    full = rf"^{output}: cannot be written \(File too large\); what is done is kept"
    with room_for(10), pytest.raises(InputError, match=full):
        transform.run()
    assert list(output.iterdir()) == []
    with RunState(output) as state:
        state.begin({}, sources)
        settings = [TransformSettings().of(file)]
        writer = Writer(output, sources, settings, state, TransformReport(1), skip=False)
        error = OSError(errno.EDQUOT, "Disk quota exceeded")
        with pytest.raises(InputError, match=rf"resumes at {output}/a.jsonl.out$"):
            writer.run_step((Step(0, work=1), Failing(error)))
        writer.close()


def test_a_full_disk_is_not_the_fault_of_a_parquet_file(tmp_path):
    partial, target = tmp_path / "0.out", tmp_path / "a.parquet.out"
    batch = pa.record_batch({"x": np.random.default_rng(0).random(100_000)})
    with pa.ipc.new_stream(partial, batch.schema) as stream:
        stream.write_batch(batch)
    origin = Origin({}, "", 0, 0, 100_000, 0)
    with room_for(100_000), pytest.raises(OSError, match="File too large") as full:
        complete(partial, target, origin)
    assert full.value.errno == errno.EFBIG
    assert not target.exists()
    complete(partial, target, origin)
    assert pa.parquet.read_table(target).num_rows == 100_000
    assert not partial.exists()


def test_a_damaged_stream_fails_its_file_alone(tmp_path):
    partial = tmp_path / "0.out"
    partial.write_bytes(b"nonsense" * 100)
    with pytest.raises(InputError, match=r"a.parquet.out: cannot be written as Parquet"):
        complete(partial, tmp_path / "a.parquet.out", Origin({}, "", 0, 0, 0, 0))
