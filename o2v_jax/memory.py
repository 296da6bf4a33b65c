"""Memory that costs few page faults: large pages, kept for the next use when freed."""

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

# <malloc.h> and <sys/mman.h> of Linux
_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
_NEVER = -1
_MADV_HUGEPAGE = 14
_HUGE_PAGE = 2**21


def keep_freed_memory() -> bool:
    """Has malloc reuse the memory of large buffers; returns whether it will.

    By itself glibc maps every buffer above 32 MB and unmaps it when freed, and the kernel
    gives memory in pages of 4 KB. A program that needs such a buffer at each call then spends much
    of its time on page faults: training with large token tables is twice as fast without them.
    All threads share one heap, freed memory stays in it, and where the kernel lets programs ask
    for pages of 2 MB (transparent_hugepage `madvise`, its default) the heap does. The process keeps
    the most memory that it ever had in use, until `give_back_freed_memory`. The commands of `o2v`
    call this before they start threads; a library should not, so `import o2v_jax` does not. Other C
    libraries than glibc are left as they are.
    """
    libc: Any = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    mallopt = getattr(libc, "mallopt", None)
    if mallopt is None:
        return False
    kept = [mallopt(_M_ARENA_MAX, 1), mallopt(_M_MMAP_MAX, 0), mallopt(_M_TRIM_THRESHOLD, _NEVER)]
    if _addresses_are_free():
        _ask_for_huge_pages(libc, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return all(kept)


def _addresses_are_free() -> bool:
    """Whether addresses without memory behind them count against no limit."""
    import resource  # noqa: PLC0415 - there is none on Windows

    limits = resource.RLIMIT_AS, resource.RLIMIT_DATA
    if any(resource.getrlimit(limit)[0] != resource.RLIM_INFINITY for limit in limits):
        return False
    try:
        return Path("/proc/sys/vm/overcommit_memory").read_text().strip() != "2"
    except OSError:
        return False


def give_back_freed_memory() -> None:
    """Returns unused memory to the operating system, after a peak that will not come again.

    A new buffer cannot reuse the memory of smaller ones that were freed: without this call the
    process holds both.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def _ask_for_huge_pages(libc: Any, size: int) -> None:
    """Grows the heap by `size` bytes of addresses, which take no memory until they are used."""
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    start = libc.malloc(size)
    if start is None:  # a limit on addresses; the heap will grow as it is used
        return
    first = -(-start // _HUGE_PAGE) * _HUGE_PAGE
    libc.madvise(first, start + size - first, _MADV_HUGEPAGE)
    libc.free(start)
