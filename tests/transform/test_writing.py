"""What is written counts as done only if all before it was."""

import pytest

from o2v_jax.errors import InputError
from o2v_jax.transform import Position, Report, Settings, sources_of
from o2v_jax.transform.engine import Step
from o2v_jax.transform.state import State
from o2v_jax.transform.writing import Writer


class Failing:
    """Results that a disk has no room for."""

    def __init__(self, error):
        self.error = error

    def text(self, *_, **__):
        yield b"a"
        raise self.error


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError()])
def test_nothing_behind_a_failed_write_is_done(tmp_path, error):
    (tmp_path / "a.jsonl").write_bytes(b"{}")
    sources, output = sources_of([str(tmp_path / "a.jsonl")], tmp_path / "out"), tmp_path / "out"
    settings = [Settings().of(source.path) for source in sources]
    with State(output) as state:
        state.begin({}, sources)
        writer = Writer(output, sources, settings, state, Report(1), skip=False)
        with pytest.raises((InputError, MemoryError)):
            writer.do((Step(0, work=1), Failing(error)))
        with pytest.raises(InputError, match="stopped"):
            writer.do((Step(0, end=Position(final=True)), None))
        assert not state.of(0).position.final
        assert not (output / "a.jsonl.out").exists()
        writer.close()
