"""Errors arrive whole in another process, and their texts are bounded."""

import pickle
import signal
from pathlib import Path

import pytest

from o2v_jax import CheckpointError, HyperparameterError, InputError, O2VError, RecordError
from o2v_jax.errors import Interrupted, MissingExtraError

ERRORS = [
    O2VError("one"),
    InputError("two"),
    RecordError("file:3 $.in0", "is wrong"),
    HyperparameterError(["first", "second"]),
    CheckpointError(Path("model"), ["p", "q"]),
    MissingExtraError("train", "o2v train", ["optax"]),
    Interrupted(signal.SIGTERM, Path("state")),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_arrives_whole_in_another_process(error):
    error.add_note("a note")
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        received = pickle.loads(pickle.dumps(error, protocol))
        assert type(received) is type(error)
        assert str(received) == str(error)
        assert vars(received) == vars(error)


def test_every_error_of_the_family_is_among_these():
    def kinds(base):
        return {base}.union(*map(kinds, base.__subclasses__()))

    ours = {kind for kind in kinds(O2VError) if kind.__module__ == "o2v_jax.errors"}
    assert ours <= {type(error) for error in ERRORS}


@pytest.mark.slow
@pytest.mark.parametrize("error", [HyperparameterError, lambda p: CheckpointError("m", p)])
def test_messages_are_bounded(error):
    raised = error([f"{n} " + "x" * 10_000 for n in range(100_000)])
    assert len(raised.problems) == 100_000
    assert len(str(raised)) < 30_000
    assert str(raised).endswith("and 99,950 more")
