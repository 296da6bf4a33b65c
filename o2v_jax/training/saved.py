"""The state of an unfinished run on disk, from which the same command goes on.

Orbax writes it: under a temporary name, renamed when whole, so a kill leaves the state before.
"""

import logging
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from o2v_jax.errors import InputError
from o2v_jax.memory import give_back_freed_memory

INTERVAL = 60.0  # seconds
SHARE = 0.25  # of a run's time that saving may take, at most
PREFIX, DISCARDED = "state", ".discarded_"
_FORMAT = 2

_log = logging.getLogger("o2v_jax")


class Saved(NamedTuple):
    """What was saved: a tree of arrays, as it was given, and a JSON object."""

    arrays: Any
    notes: dict[str, Any]


def check_state_directory(directory: Path) -> None:
    """Checks that nothing but training state is there, so that nothing else is ever removed.

    Raises:
        InputError: something is.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file, but training state needs a directory")
    names = sorted(path.name for path in directory.iterdir()) if directory.exists() else []
    others = [name for name in names if not name.startswith((f"{PREFIX}_", DISCARDED))]
    if others:
        listed = ", ".join(others[:5])
        raise InputError(
            f"{directory} holds other things than training state ({listed}): choose another place"
        )


def _alone(ocp: Any) -> Any:
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
    """

    def __init__(self, directory: Path, run: Mapping[str, str], interval: float = INTERVAL) -> None:
        if not interval >= 0:
            raise InputError(f"{interval} is no number of seconds between two savings")
        # its import takes half a second, and only training needs it
        import orbax.checkpoint as ocp  # noqa: PLC0415

        logging.getLogger("absl").setLevel(logging.CRITICAL)  # what fails is told here
        check_state_directory(directory)
        self.directory, self.run, self.interval = directory.resolve(), dict(run), interval
        self._remove_discarded()
        names = ocp.path.step.standard_name_format(step_prefix=PREFIX)
        options = ocp.CheckpointManagerOptions(
            max_to_keep=1,
            enable_async_checkpointing=False,
            step_name_format=names,
            create=jax.process_count() == 1,
            multiprocessing_options=_alone(ocp),
        )
        self.directory.mkdir(parents=True, exist_ok=True)
        self._ocp, self._manager = ocp, ocp.CheckpointManager(self.directory, options=options)
        self._next = time.monotonic() + interval

    def due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() >= self._next

    def save(self, arrays: Any, notes: Mapping[str, Any]) -> bool:
        """Saves; what was saved before is then removed. A full disk costs a warning, not the run.

        Returns:
            Whether it is saved.
        """
        began, args = time.monotonic(), self._ocp.args
        step = (self._manager.latest_step() or 0) + 1
        described = {"format": _FORMAT, "run": self.run, "notes": dict(notes)}
        both = args.Composite(arrays=args.StandardSave(arrays), notes=args.JsonSave(described))
        try:
            self._manager.save(step, args=both, force=True)
        except (OSError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            _log.warning("%s: the state cannot be saved (%s)", self.directory, reason)
            return False
        finally:
            give_back_freed_memory()  # of the copies that were written
            ended = time.monotonic()
            self._next = ended + max(self.interval, (ended - began) / SHARE)
        return True

    def latest(self, like: Any) -> Saved | None:
        """What was saved last, if anything; `like` has the structure and shapes of its arrays.

        Raises:
            InputError: it is the state of another run, or damaged.
        """
        step, args = self._manager.latest_step(), self._ocp.args
        if step is None:
            return None
        try:
            found = self._manager.restore(step, args=args.Composite(notes=args.JsonRestore())).notes
            self._check(found)
            restore = args.Composite(arrays=args.StandardRestore(like))
            return Saved(self._manager.restore(step, args=restore).arrays, found["notes"])
        except (OSError, ValueError, KeyError) as error:
            advice = "begin anew with --no-resume"
            raise InputError(f"{self.directory} holds a damaged state: {advice}") from error

    def discard(self) -> None:
        """Removes everything that was saved: renamed first, for a kill not to leave half of it."""
        for path in self.directory.glob(f"{PREFIX}_*"):
            path.rename(path.with_name(f"{DISCARDED}{path.name}"))
        self._remove_discarded()
        self._manager.reload()

    def _remove_discarded(self) -> None:
        for path in self.directory.glob(f"{DISCARDED}*"):
            shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Ends the writer; the directory goes if nothing is in it."""
        self._manager.close()
        if not any(self.directory.iterdir()):
            self.directory.rmdir()

    def _check(self, found: Mapping[str, Any]) -> None:
        before = found.get("run", {}) if found.get("format") == _FORMAT else {}
        changed = [
            f"{name} was {before.get(name)}, now {self.run.get(name)}"
            for name in self.run | before
            if before.get(name) != self.run.get(name)
        ]
        if changed:
            raise InputError(
                f"{self.directory} holds the state of another run ({'; '.join(changed[:3])}): "
                "give its command again to continue it, --no-resume to begin anew, "
                "or other --checkpoints"
            )
