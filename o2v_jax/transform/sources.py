"""Which files are transformed, and where their results go."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from o2v_jax.errors import InputError
from o2v_jax.util import require_all_local

OUT = ".out"


@dataclass(frozen=True)
class Source:
    """An input file.

    Attributes:
        path: where it is.
        name: its results' path in the output folder, without `.out`.
        size: bytes, compressed if it is.
        modified: when it last was, in ns since 1970.
    """

    path: Path
    name: Path
    size: int
    modified: int

    @property
    def target(self) -> Path:
        """Its results' path in the output folder."""
        return self.name.with_name(self.name.name + OUT)


def sources_of(inputs: Sequence[str], output: Path) -> list[Source]:
    """The files that inputs name, in their order: files, folders with all in them, and globs.

    Results keep the tree below the folder, or below what stands before a glob's first wildcard.
    What begins with a dot in a folder is left out.

    Raises:
        InputError: an input is a URL or names nothing, the output folder is within one, two files
            would have one output, or an output would replace an input.
    """
    require_all_local(*inputs, output)
    found = [_source(path, name) for given in inputs for path, name in _files(given, output)]
    own = {source.path.resolve() for source in found}
    for source in found:
        if (output / source.target).resolve() in own:
            raise InputError(f"{output / source.target}: would replace an input: write elsewhere")
    twice = [name for name, count in Counter(s.name for s in found).items() if count > 1]
    if twice:
        raise InputError(f"several inputs would be written to {output / twice[0]}{OUT}")
    return found


def _files(given: str, output: Path) -> Iterable[tuple[Path, Path]]:
    path = Path(given)
    if path.is_dir():
        files = list(_tree(path, output))
    elif path.exists() or not glob.has_magic(given):
        files = [(path, Path(path.name))]
    else:
        files = _matching(given, output)
    if not files:
        raise InputError(
            f"{given}: holds no file" if path.is_dir() else f"{given}: matches no file"
        )
    return files


def _tree(folder: Path, output: Path) -> Iterator[tuple[Path, Path]]:
    if output.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{output}: lies within the input {folder}: results would become inputs")
    for at, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if Path(at, name).is_symlink():
                raise InputError(f"{Path(at, name)}: is a link to a folder: name it as an input")
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(at, name)
            yield path, path.relative_to(folder)


def _matching(pattern: str, output: Path) -> list[tuple[Path, Path]]:
    """The files that match, but for results of this output folder."""
    parts = Path(pattern).parts
    fixed = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    paths = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207 - of any root
    results = output.resolve()
    files = (path for path in paths if path.is_file() and not _is_result(path, results))
    return [(path, path.relative_to(base)) for path in files]


def _is_result(path: Path, output: Path) -> bool:
    return path.suffix == OUT and output in path.resolve().parents


def _source(path: Path, name: Path) -> Source:
    try:
        about = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    return Source(path, name, about.st_size, about.st_mtime_ns)


def _raise(error: OSError) -> None:
    raise error
