"""Benchmarks: importable code, one data generator, every figure a ratio to a peer in one run."""
