"""The persistent compilation cache: programs compiled once are loaded by the next process."""

from pathlib import Path

import jax

from o2v_jax.cache_directory import cache_directory
from o2v_jax.util import require_local


def use_compilation_cache(directory: Path | None = None) -> Path:
    """Makes JAX keep every compiled program in `directory`; returns it.

    Raises:
        InputError: it is a URL.
    """
    directory = directory or cache_directory()
    require_local(directory)
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return directory
