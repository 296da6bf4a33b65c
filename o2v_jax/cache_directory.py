"""Where what was computed once is kept for the next process."""

import os
import tempfile
from pathlib import Path


def cache_directory() -> Path:
    """`O2V_CACHE_DIR`, else o2v_jax under `XDG_CACHE_HOME` or ~/.cache."""
    if chosen := os.environ.get("O2V_CACHE_DIR"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or _home() / ".cache") / "o2v_jax"


def _home() -> Path:
    """The home directory; that of temporary files for a user without one, as in containers."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir())
