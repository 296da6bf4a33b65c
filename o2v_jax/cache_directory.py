"""Where what was computed once is kept for the next process."""

import os
import tempfile
from pathlib import Path

from o2v_jax.errors import InputError
from o2v_jax.util import require_local


def cache_directory() -> Path:
    """`O2V_CACHE_DIR`, else o2v_jax under `XDG_CACHE_HOME` or ~/.cache.

    Raises:
        InputError: one of these is a URL.
    """
    for name in ("O2V_CACHE_DIR", "XDG_CACHE_HOME"):
        _require_local(name, os.environ.get(name, ""))
    if chosen := os.environ.get("O2V_CACHE_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache") / "o2v_jax"


def _require_local(name: str, value: str) -> None:
    try:
        require_local(value)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None


def _home() -> Path:
    """The home directory; that of temporary files for a user without one, as in containers."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir())
