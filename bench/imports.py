"""What importing the server takes, by package."""

import subprocess
import sys
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
# of the parent process, and of its worker
MODULES = ("o2v_jax.server.run", "o2v_jax.server.loading")
SHOWN = 12


def measure(runs: int) -> list[dict[str, Any]]:
    """Milliseconds of the packages that take longest, and of all, median of several runs."""
    return [row for module in MODULES for row in _make_rows(module, runs)]


def _make_rows(module: str, runs: int) -> list[dict[str, Any]]:
    found = [sum_by_package(_trace_imports(module)) for _ in range(runs)]
    times = {name: median(one[name] for one in found) / 1000 for name in found[0]}
    longest = sorted(times, key=lambda name: -times[name])[:SHOWN]
    rows = [{"importing": module, "package": "all", "ms": round(sum(times.values()), 1)}]
    return rows + [
        {"importing": module, "package": name, "ms": round(times[name], 1)} for name in longest
    ]


def sum_by_package(text: str) -> Counter[str]:
    """Microseconds of each top-level package itself, from what `-X importtime` prints."""
    times: Counter[str] = Counter()
    for line in text.splitlines():
        own, _, name = line.removeprefix("import time:").partition("|")
        if own.strip().isdigit():
            times[name.partition("|")[2].strip().partition(".")[0]] += int(own)
    return times


def _trace_imports(module: str) -> str:
    command = [sys.executable, "-X", "importtime", "-c", f"import {module}"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stderr
