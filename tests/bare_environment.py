"""A new environment that holds a wheel and what it depends on, and nothing else of this one.

What the wheel depends on is linked from the environment of the tests, package by package, which
takes a second and no network; pip then installs the wheel.
"""

import subprocess
import sys
import venv
from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import Distribution, distribution
from pathlib import Path, PurePath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def create_environment(folder: Path, wheel: Path, extras: Sequence[str] = ()) -> Path:
    """Creates an environment and installs a wheel in it, with extras; returns its Python."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    (described,) = Distribution.discover(name="o2v_jax", path=[str(wheel)])
    for installed in _closure(described, extras):
        _link(installed, site)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*pip, "--disable-pip-version-check", "--quiet", wheel], check=True)
    return python


def _closure(described: Distribution, extras: Sequence[str]) -> list[Distribution]:
    """What a distribution needs, directly or not, as it is installed here."""
    found: dict[str, Distribution] = {}
    waiting = [*_requirements(described, extras)]
    seen = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        key = (name, frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        own = name == "o2v-jax"  # one extra includes another
        needed = described if own else distribution(requirement.name)
        if not own:
            found[name] = needed
        waiting += _requirements(needed, sorted(requirement.extras))
    return [*found.values()]


def _requirements(needing: Distribution, extras: Sequence[str]) -> Iterator[Requirement]:
    for requirement in map(Requirement, needing.requires or ()):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _link(installed: Distribution, site: Path) -> None:
    files = [file for file in installed.files or () if ".." not in file.parts]  # no scripts
    packages = {file.parent for file in files if file.name == "__init__.py"}
    for path in {_whole(file, packages) for file in files}:
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).symlink_to(Path(str(installed.locate_file(path))))


def _whole(file: PurePath, packages: Collection[PurePath]) -> PurePath:
    """The outermost folder around a file that is one distribution's own; else the file."""
    folders = reversed(file.parents)
    return next((f for f in folders if f in packages or f.suffix == ".dist-info"), file)
