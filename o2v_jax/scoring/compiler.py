"""How functions become programs on a kind of device."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache import compilation_cache

from o2v_jax.arguments import require_path
from o2v_jax.cache_directory import cache_directory
from o2v_jax.constants import DType
from o2v_jax.devices import own_settings
from o2v_jax.scoring.programs import Program

# XLA tries hundreds of Triton kernels for every shape of matrix product: 8 s a program on an H200
# and none of it faster than cuBLAS for an hcnn, 15 % for a bilstm. Without them it takes 0.3 s.
OPTIONS: dict[str, dict[str, Any]] = {"gpu": {"xla_gpu_enable_triton_gemm": False}}
_PRECISION = {"float32": "highest", "tensorfloat32": "tensorfloat32"}


class Compiler:
    """Compiles ahead of time for one kind of device, "cpu" or "gpu" for instance.

    A GPU multiplies float32 as it is written, unless tensorfloat32 is asked for: by itself JAX
    would round the factors to 11 significant bits there.

    Attributes:
        precision: of matrix products, as of `jax.default_matmul_precision`.
    """

    def __init__(self, platform: str, dtype: DType) -> None:
        self._options = OPTIONS.get(platform)
        self.precision = None if platform == "cpu" or dtype == "bfloat16" else _PRECISION[dtype]

    def __call__(self, function: Callable[..., Any], *arguments: Any, donate: Any = ()) -> Program:
        """Compiles a function for arguments of these shapes and dtypes; takes `donate` over."""
        jitted = jax.jit(function, donate_argnums=donate)
        with own_settings(), jax.default_matmul_precision(self.precision):
            program: Program = jitted.lower(*arguments).compile(self._options)
        return _wrap_in_own_settings(program) if _need_own_settings() else program


def _need_own_settings() -> bool:
    """Whether calls too need `own_settings`, which take longer than a short program."""
    guard = getattr(jax.config, "jax_transfer_guard", None)
    return bool(getattr(jax.config, "jax_disable_jit", False)) or guard not in (None, "allow")


def _wrap_in_own_settings(program: Program) -> Program:
    def call(*arguments: Any) -> Any:
        with own_settings():
            return program(*arguments)

    return call


def use_compilation_cache(directory: str | Path | None = None) -> Path:
    """Makes JAX keep every compiled program in a directory; returns it.

    Args:
        directory: created if it does not exist; None: `cache_directory()`. It replaces one that
            was set before.

    Raises:
        InputError: it is not a path on this machine.
    """
    directory = cache_directory() if directory is None else require_path("directory", directory)
    if getattr(jax.config, "jax_compilation_cache_dir", None) not in (None, str(directory)):
        compilation_cache.reset_cache()  # JAX keeps the first one open
    jax.config.update("jax_compilation_cache_dir", str(directory))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return directory
