"""The errors of this library: each is an `O2VError`."""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_MOST_PROBLEMS = 50  # a file from a stranger can be wrong in any number of places
_LONGEST_PROBLEM = 500  # characters


class _Picklable(Exception):  # noqa: N818 - a base of errors, never raised
    """An exception that reaches another process with its type, its text and its attributes."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own calls the class with the text alone, which is not what __init__ takes
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[Exception], args: tuple[Any, ...], state: dict[str, Any]) -> Exception:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class O2VError(_Picklable):
    """Any error that the caller can fix; its text is written for people."""


class HyperparameterError(O2VError):
    """One or more hyperparameters are wrong; `problems` holds one sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(shorten(self.problems)))


class RecordError(O2VError):
    """A record cannot be read or scored; `where` is its JSON path, with file and line if known."""

    def __init__(self, where: str, reason: str) -> None:
        self.where, self.reason = where, reason
        super().__init__(f"{where}: {reason}")


class CheckpointError(O2VError):
    """A model directory or archive cannot be read; `problems` holds one sentence for each."""

    def __init__(self, source: object, problems: Sequence[str]) -> None:
        self.source, self.problems = str(source), tuple(problems)
        super().__init__(f"{source}: " + "; ".join(shorten(self.problems)))


class InputError(O2VError):
    """An argument, a file or a setting is not usable."""


class MissingExtraError(InputError, ImportError):
    """An optional package is not installed; `extra` names the extra that brings it."""

    def __init__(self, extra: str, user: str, missing: Sequence[str]) -> None:
        self.extra = extra
        super().__init__(
            f"{user} needs {', '.join(missing)}: install the extra [{extra}] of o2v_jax, "
            f"from a checkout: pip install '.[{extra}]'"
        )


class Interrupted(_Picklable):
    """A signal ended the run. `saved` is where its state was saved, or None if it was not."""

    def __init__(self, number: int, saved: Path | None = None) -> None:
        self.signal, self.saved = signal.Signals(number), saved
        where = f"; the same command resumes from {saved}" if saved else ""
        super().__init__(f"stopped by {self.signal.name}{where}")

    @property
    def status(self) -> int:
        """The exit status that shells give a process that a signal ended."""
        return 128 + self.signal


def shorten(problems: Sequence[str]) -> list[str]:
    """Bounds a list of problems for a message: 50 of them at most, each of 500 characters.

    >>> shorten(["a", "b"])
    ['a', 'b']
    >>> shorten(["a"] * 60)[-1]
    'and 10 more'
    """
    shown = [_clip(problem) for problem in problems[:_MOST_PROBLEMS]]
    more = len(problems) - len(shown)
    return [*shown, f"and {more:,} more"] if more else shown


def _clip(problem: str) -> str:
    return problem if len(problem) <= _LONGEST_PROBLEM else problem[: _LONGEST_PROBLEM - 3] + "..."
