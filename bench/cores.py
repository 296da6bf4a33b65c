"""How many processor cores there are. Apart, so that servers in PyTorch import no JAX for it."""

import os


def count_cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
