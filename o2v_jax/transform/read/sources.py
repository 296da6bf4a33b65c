"""Which files are transformed, and where their results go."""

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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


def show_path(path: Path | str) -> str:
    r"""A path for messages: one line of valid UTF-8, whatever bytes the name has.

    >>> print(show_path("a\nb.jsonl"))
    a\nb.jsonl
    """
    text = os.fsencode(path).decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def open_source(path: Path) -> BinaryIO:
    """Opens an input file.

    Raises:
        InputError: it is not a regular file; a pipe could not be read again.
        OSError: it cannot be opened.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise InputError(f"{show_path(path)}: is not a regular file")
    return path.open("rb")


def find_sources(inputs: Sequence[str], output: Path) -> list[Source]:
    """The files that inputs name, in their order: files, folders with all in them, and globs.

    Results keep the tree below the folder, or below what is before a glob's first wildcard.
    What begins with a dot in a folder is left out. A file in a folder that cannot be read is among
    them: reading it fails, and no other.

    Raises:
        InputError: an input is a URL or names nothing, the output folder is within one, two files
            would have one output, or an output would replace an input.
    """
    require_all_local(*inputs, output)
    found = [
        _make_source(path, name) for given in inputs for path, name in _find_files(given, output)
    ]
    own = {os.path.realpath(source.path) for source in found}
    for source in found:
        target = output / source.target
        if os.path.realpath(target) in own:
            raise InputError(f"{show_path(target)}: would replace an input: write elsewhere")
    _check_targets([source.target for source in found], output)
    return found


def _check_targets(targets: Sequence[Path], output: Path) -> None:
    twice = [target for target, count in Counter(targets).items() if count > 1]
    if twice:
        raise InputError(f"several inputs would be written to {show_path(output / twice[0])}")
    folders = {folder for target in targets for folder in target.parents}
    for target in targets:
        if target in folders:
            where = show_path(output / target)
            raise InputError(f"{where}: would be the results of a file and a folder of others")


def _find_files(given: str, output: Path) -> Iterable[tuple[Path, Path]]:
    path = Path(given)
    if not given:
        raise InputError("an input is an empty text: expected a file, a folder or a 'glob'")
    if path.is_dir():
        files = list(_walk_folder(path, output))
    elif path.exists() or not glob.has_magic(given):
        files = [(_require_existing(path), Path(path.name))]
    else:
        files = _find_matching(given, output)
    if not files:
        reason = "holds no file" if path.is_dir() else "matches no file"
        raise InputError(f"{show_path(given)}: {reason}")
    return files


def _require_existing(path: Path) -> Path:
    try:
        path.stat()
    except OSError as error:
        raise InputError(f"{show_path(path)}: cannot be read ({error.strerror})") from error
    return path


def _walk_folder(folder: Path, output: Path) -> Iterator[tuple[Path, Path]]:
    if output.resolve().is_relative_to(folder.resolve()):
        inside = f"lies within the input {show_path(folder)}"
        raise InputError(f"{show_path(output)}: {inside}: results would become inputs")
    for at, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            if (path := Path(at, name)).is_symlink():
                raise InputError(f"{show_path(path)}: is a link to a folder: name it as an input")
        for name in sorted(name for name in names if not name.startswith(".")):
            path = Path(at, name)
            yield path, path.relative_to(folder)


def _find_matching(pattern: str, output: Path) -> list[tuple[Path, Path]]:
    """The files that match, but for results of this output folder."""
    parts = Path(pattern).parts
    fixed = next(at for at, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    paths = map(Path, sorted(glob.glob(pattern, recursive=True)))  # noqa: PTH207 - of any root
    results = output.resolve()
    files = (path for path in paths if not path.is_dir() and not _is_result(path, results))
    return [(path, path.relative_to(base)) for path in files]


def _is_result(path: Path, output: Path) -> bool:
    return path.suffix == OUT and output in path.resolve().parents


def _make_source(path: Path, name: Path) -> Source:
    try:
        about = path.stat()
    except OSError:  # reading it will say why
        return Source(path, name, 0, 0)
    return Source(path, name, about.st_size, about.st_mtime_ns)


def _raise(error: OSError) -> None:
    raise InputError(f"{show_path(error.filename)}: cannot be read ({error.strerror})") from error
