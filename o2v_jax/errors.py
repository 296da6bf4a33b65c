"""One family of errors. Each says what the caller did wrong, where, and what would be right."""

import signal
from collections.abc import Sequence
from pathlib import Path


class O2VError(Exception):
    """Any error that the caller can mend: its text is written for a person to read."""


class HyperparameterError(O2VError):
    """One or more hyperparameters are wrong; `problems` holds one sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class RecordError(O2VError):
    """A record cannot be read or scored; `where` is its JSON path, with file and line if known."""

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(f"{where}: {reason}")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.where, self.reason)  # other processes tell of it too


class CheckpointError(O2VError):
    """A model directory or archive cannot be read; `problems` holds one sentence for each."""

    def __init__(self, source: object, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"{source}: " + "; ".join(self.problems))


class InputError(O2VError):
    """An argument, a file or a setting is not usable."""


class Interrupted(Exception):  # noqa: N818 - nothing is wrong
    """A signal asked for the end. What had been reached is saved, if `saved` says where."""

    def __init__(self, number: int, saved: Path | None = None) -> None:
        self.signal, self.saved = signal.Signals(number), saved
        where = f"; the same command goes on from {saved}" if saved else ""
        super().__init__(f"stopped by {self.signal.name}{where}")

    @property
    def status(self) -> int:
        """The exit status that shells give a process that a signal ended."""
        return 128 + self.signal
