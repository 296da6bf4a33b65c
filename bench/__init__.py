"""Benchmarks: importable code, one data generator, every figure a ratio to a peer in one run."""

import sys

from o2v_jax.memory import keep_freed_memory

if sys.argv[:1] == ["-m"]:  # `python -m bench.NAME` imports this first
    # As the commands of `o2v` do, for all sides in this process, and before libraries start threads
    # that would have heaps of their own.
    keep_freed_memory()
