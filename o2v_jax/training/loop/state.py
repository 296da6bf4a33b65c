"""The state of an unfinished run on disk, from which the same command resumes.

Orbax writes it: under a temporary name, moved when whole, so a kill leaves the state before.
"""

import logging
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax

from o2v_jax.errors import InputError, shorten
from o2v_jax.memory import give_back_freed_memory
from o2v_jax.training.loop.state_files import (
    LISTING,
    STATE_PREFIX,
    DamagedStateError,
    check_listing,
    choose_next_number,
    discard_state,
    is_state,
    list_numbers,
    remove_remnants,
    remove_states,
    write_listing,
)

SAVING_INTERVAL_S = 60.0  # seconds
MAX_SAVING_SHARE = 0.25  # of a run's time that saving may take, at most
_FORMAT, _NAMED = 2, 3
_ADVICE = (
    "rerun its command to resume it, or give --no-resume to start over, or other --checkpoints"
)
_SYNCED_ADVICE = (
    "give its settings and data to resume it, or other checkpoints (in SageMaker another S3Uri in "
    "CheckpointConfig), or start over with --no-resume"
)

_log = logging.getLogger("o2v_jax")


class Saved(NamedTuple):
    """What was saved: a tree of arrays, as it was given, and a JSON object."""

    arrays: Any
    notes: dict[str, Any]


def check_state_directory(directory: Path, *, synced: bool = False) -> None:
    """Checks that nothing but training state is there, hidden files and `synced` ones aside.

    Raises:
        InputError: something is.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file, but training state needs a directory")
    paths = sorted(directory.iterdir()) if directory.exists() else []
    others = [path.name for path in paths if not (is_state(path) or path.name.startswith("."))]
    if others and not synced:
        listed = ", ".join(others[:5])
        raise InputError(
            f"{directory} holds other things than training state ({listed}): "
            "choose another directory"
        )


def _make_process_options(ocp: Any) -> Any:
    """Of several hosts the first one saves, and Orbax is not to wait for the others."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    return ocp.options.MultiprocessingOptions(
        primary_host=0, active_processes={0}, barrier_sync_key_prefix="o2v"
    )


class Checkpoints:
    """The latest state of one run in `directory`, saved every `interval` seconds.

    `run` describes the run: its configuration, data and seed, by name. The state of a run that is
    described otherwise is never continued and never overwritten.

    `synced` says that a program copies the directory to storage and back, as in a SageMaker
    container. What else it leaves there is then passed over, the last state but one is kept until
    the next is saved, and a run starts over if no state is whole.
    """

    def __init__(
        self,
        directory: Path,
        run: Mapping[str, str],
        interval: float = SAVING_INTERVAL_S,
        *,
        synced: bool = False,
    ) -> None:
        if not interval >= 0:
            raise InputError(f"checkpoint_interval={interval} must be 0 seconds or more")
        # its import takes half a second, and only training needs it
        import orbax.checkpoint as ocp  # noqa: PLC0415

        logging.getLogger("absl").setLevel(logging.CRITICAL)  # failures are reported here
        _silence_remains()
        check_state_directory(directory, synced=synced)
        self.directory, self.run, self.interval = directory.resolve(), dict(run), interval
        self._synced, self._whole = synced, list[int]()  # the states that this run can go on from
        self.directory.mkdir(parents=True, exist_ok=True)
        remove_remnants(self.directory)
        names = ocp.path.step.standard_name_format(step_prefix=STATE_PREFIX)
        options = ocp.CheckpointManagerOptions(
            enable_async_checkpointing=False,
            step_name_format=names,
            create=jax.process_count() == 1,
            multiprocessing_options=_make_process_options(ocp),
        )
        self._ocp, self._manager = ocp, ocp.CheckpointManager(self.directory, options=options)
        self._next = time.monotonic() + interval

    def is_due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._next

    def save(self, arrays: Any, notes: Mapping[str, Any]) -> bool:
        """Saves; what was saved before is then removed. A full disk costs a warning, not the run.

        Returns:
            Whether it is saved.
        """
        began = time.monotonic()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)  # somebody may have removed it
            newest = self._manager.latest_step() or 0
            self._write(max(newest + 1, choose_next_number(self.directory)), arrays, notes)
        except Exception as error:  # noqa: BLE001 - Orbax and what it builds on raise many kinds
            _log.warning(
                "%s: the state cannot be saved (%s)", self.directory, _shorten_reason(error)
            )
            return False
        finally:
            give_back_freed_memory()  # of the copies that were written
            ended = time.monotonic()
            self._next = ended + max(self.interval, (ended - began) / MAX_SAVING_SHARE)
        return True

    def _write(self, number: int, arrays: Any, notes: Mapping[str, Any]) -> None:
        """Writes a state; the ones before go only when it is whole, and it goes if it is not."""
        args = self._ocp.args
        described = {"format": _FORMAT, "run": self.run, "notes": dict(notes), "listed": True}
        both = args.Composite(arrays=args.StandardSave(arrays), notes=args.JsonSave(described))
        # where a saving failed, some of Orbax's threads may have written on after its error
        remove_remnants(self.directory)
        try:
            self._manager.save(number, args=both, force=True)
            write_listing(self._make_path(number))
        except BaseException:
            with suppress(OSError):  # there may be none
                discard_state(self._make_path(number))
            remove_remnants(self.directory)
            self._manager.reload()
            raise
        self._whole = [*self._whole, number][-2 if self._synced else -1 :]
        with suppress(OSError):  # the next saving tries again
            remove_states(self.directory, keep=tuple(self._whole))

    def restore_latest(self, like: Any) -> Saved | None:
        """The newest whole state, if any; `like` has the structure and shapes of its arrays.

        Raises:
            InputError: it is the state of another run; or none is whole, unless `synced`.
        """
        damaged: list[str] = []
        for number in list_numbers(self.directory):
            found = self._read_or_reason(number, like)
            if isinstance(found, Saved):
                self._whole = [number]
                if damaged:
                    self._warn_of_damage(damaged, f"resuming from {STATE_PREFIX}_{number}")
                return found
            damaged.append(f"{STATE_PREFIX}_{number}: {found}")
        if damaged and not self._synced:
            raise InputError(f"{self.directory} holds a damaged state: start over with --no-resume")
        if damaged:
            self._warn_of_damage(damaged, "none is whole: starting over")
        return None

    def _read_or_reason(self, number: int, like: Any) -> Saved | str:
        """A state, or what is wrong with it."""
        try:
            return self._read(number, like)
        except DamagedStateError as error:
            return str(error)

    def _warn_of_damage(self, damaged: list[str], outcome: str) -> None:
        listed = "; ".join(damaged)
        _log.warning("%s holds a damaged state (%s): %s", self.directory, listed, outcome)

    def _read(self, number: int, like: Any) -> Saved:
        args = self._ocp.args
        checked = check_listing(self._make_path(number))
        try:
            notes = args.Composite(notes=args.JsonRestore())
            found = self._manager.restore(number, args=notes).notes
            if found.get("listed") and not checked:
                raise DamagedStateError(f"{LISTING} is missing")  # noqa: TRY301 - as below
            self._check_run(found)
            restore = args.Composite(arrays=args.StandardRestore(like))
            return Saved(self._manager.restore(number, args=restore).arrays, found["notes"])
        except (InputError, DamagedStateError, MemoryError, PermissionError):
            raise
        except Exception as error:  # of an earlier version's state, which has no list
            raise DamagedStateError(_shorten_reason(error)) from error

    def _make_path(self, number: int) -> Path:
        return self.directory / f"{STATE_PREFIX}_{number}"

    def discard(self) -> None:
        """Removes everything that was saved."""
        remove_states(self.directory)
        self._whole = []
        self._manager.reload()

    def close(self) -> None:
        """Ends the writer; the directory goes if nothing is in it."""
        self._manager.close()
        with suppress(OSError):  # it holds something, or somebody removed it
            self.directory.rmdir()

    def _check_run(self, found: Mapping[str, Any]) -> None:
        if found.get("format") != _FORMAT:
            raise InputError(
                f"{self.directory} holds the state of another version of o2v_jax: "
                "continue it with that version, or start over with --no-resume"
            )
        before = found["run"]
        changed = [
            f"{name} was {before.get(name)}, now {self.run.get(name)}"
            for name in self.run | before
            if before.get(name) != self.run.get(name)
        ]
        if changed:
            if len(changed) > _NAMED:
                changed[_NAMED:] = [f"and {len(changed) - _NAMED} more"]
            raise InputError(
                f"{self.directory} holds the state of another run ({'; '.join(changed)}): "
                f"{_SYNCED_ADVICE if self._synced else _ADVICE}"
            )


def _shorten_reason(error: Exception) -> str:
    """What went wrong in a line; tensorstore's messages have many."""
    reason = str(error).partition("\n")[0].partition(". See full")[0]
    return shorten([reason or type(error).__name__])[0]


@cache
def _silence_remains() -> None:
    """Lets what errors in Orbax leave running end without tracebacks: failures are reported here.

    Coroutines that nobody awaits any more, and callbacks to an event loop that is closed.
    """
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        code = getattr(unraisable.object, "cr_code", None)
        coroutine = code is not None and "orbax" in code.co_filename
        if not (coroutine or str(unraisable.exc_value) == "Event loop is closed"):
            before(unraisable)

    sys.unraisablehook = hook
