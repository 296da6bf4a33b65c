"""The persistent compilation cache: programs compiled once are loaded by the next process."""

from pathlib import Path

import jax
from jax.experimental.compilation_cache import compilation_cache

from o2v_jax.arguments import require_path
from o2v_jax.cache_directory import cache_directory


def use_compilation_cache(directory: str | Path | None = None) -> Path:
    """Makes JAX keep every compiled program in a directory; returns it.

    Args:
        directory: is made if it is not there; None: `cache_directory()`. Another one than before
            is used from then on.

    Raises:
        InputError: it is no path of this machine.
    """
    directory = cache_directory() if directory is None else require_path("directory", directory)
    if getattr(jax.config, "jax_compilation_cache_dir", None) not in (None, str(directory)):
        compilation_cache.reset_cache()  # JAX keeps the first one open
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return directory
