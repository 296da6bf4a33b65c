"""The persistent compilation cache: programs compiled once are loaded by the next process."""

import os
from pathlib import Path

import jax


def cache_directory() -> Path:
    """`O2V_CACHE_DIR`, else o2v_jax under `XDG_CACHE_HOME` or ~/.cache."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "o2v_jax"
    return Path(os.environ.get("O2V_CACHE_DIR") or default)


def use_compilation_cache(directory: Path | None = None) -> Path:
    """Makes JAX keep every compiled program in `directory`; returns it."""
    directory = directory or cache_directory()
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return directory
