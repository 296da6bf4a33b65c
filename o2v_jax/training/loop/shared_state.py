"""The saved state of a run on several hosts: the first one keeps it and broadcasts it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from o2v_jax.training.loop.agreement import broadcast, broadcast_arrays
from o2v_jax.training.loop.state import Checkpoints, Saved


class SharedCheckpoints:
    """Behaves as `Checkpoints` on every host; only the first has one and touches the disk."""

    def __init__(self, directory: Path, own: Checkpoints | None) -> None:
        self._own, self._asked = own, False
        self.directory = directory.resolve()

    def is_due(self) -> bool:
        """Whether the first host asks to save, once for each saving; the others never do."""
        if self._own is None or self._asked:
            return False
        self._asked = self._own.is_due()
        return self._asked

    def save(self, arrays: Any, notes: Mapping[str, Any]) -> bool:
        """Saves on the first host; returns on each whether it is saved there."""
        self._asked = False
        return bool(broadcast(self._own is not None and self._own.save(arrays, notes)))

    def restore_latest(self, like: Any) -> Saved | None:
        """What the first host saved last, on every host, as host arrays."""
        saved = self._own.restore_latest(like) if self._own else None
        notes = broadcast(saved.notes if saved else None)
        if notes is None:
            return None
        arrays = jax.tree.map(
            np.asarray, like if saved is None else _restructure(like, saved.arrays)
        )
        return Saved(broadcast_arrays(arrays), notes)

    def discard(self) -> None:
        """Removes what is saved."""
        if self._own is not None:
            self._own.discard()

    def close(self) -> None:
        """Ends the writer."""
        if self._own is not None:
            self._own.close()


def _restructure(like: Any, arrays: Any) -> Any:
    """What Orbax read, lists where there were tuples, in the structure that it was saved in."""
    return jax.tree.unflatten(jax.tree.structure(like), jax.tree.leaves(arrays))
