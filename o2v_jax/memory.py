"""Freed memory kept for the next use, not given back to the operating system."""

import ctypes
import sys

# <malloc.h> of glibc
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER = -1


def keep_freed_memory() -> bool:
    """Has malloc reuse the memory of large buffers; returns whether it will.

    By itself glibc maps every buffer above 32 MB anew and unmaps it when freed. A program that
    needs such a buffer at each call then spends much of its time on page faults: a training step
    with a large token table takes about a third less time without them. The process keeps the most
    memory that it ever had in use. The commands of `o2v` call this; a library should not, so
    `import o2v_jax` does not. Other C libraries than glibc are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:
        return False
    return bool(mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, _NEVER))
