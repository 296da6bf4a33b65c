"""What a result was measured on: machine, versions, commit."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax

from bench.cores import count_cores

PACKAGES = ("jax", "jaxlib", "flax", "numpy")


def describe(*packages: str) -> dict[str, Any]:
    """Processor, cores, device, versions and the commit of this tree, "-dirty" if it is changed."""
    return {
        "processor": _read_processor(),
        "cores": count_cores(),
        "device": jax.devices()[0].device_kind,
        "python": platform.python_version(),
        "versions": {name: _read_version(name) for name in (*PACKAGES, *packages)},
        "commit": _read_commit(),
    }


def _read_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _read_processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _read_commit() -> str:
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    folder = Path(__file__).parent
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
