"""An index on disk: a directory that is written at once or not at all, and is checked when read."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa

from o2v_jax.arguments import show
from o2v_jax.array_types import Floats
from o2v_jax.atomic import is_fixed, is_leftover, replace_directory, require_creatable
from o2v_jax.constants import DType
from o2v_jax.errors import CheckpointError, InputError
from o2v_jax.retrieval.keys import KEY_TYPES, KeyType
from o2v_jax.retrieval.metric import MetricName
from o2v_jax.util import describe_os_error, get_first_line, hash_bytes, hash_file

VECTORS = "vectors.npy"
KEYS = "keys.arrow"
GRAPH = "graph.usearch"
INFO = "index.json"
INDEX_FILES = (VECTORS, KEYS, GRAPH, INFO)
FORMAT = "o2v_jax index"
FORMAT_VERSION = 1
_MAX_INFO_BYTES = 2**20
_SHOWN_DIGEST = 12
_ATTEMPTS = 8  # at reading an index that is being replaced
_NO_INDEX = f"an index is a directory with {INFO}, {VECTORS} and {KEYS}, as o2v index writes it"


_Positive: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
_Natural: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class Recall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of what a full ranking puts first a search finds.

    Attributes:
        at_10: the mean share of the first 10.
        queries: how many queries it was measured with.
        source: what these were.
    """

    at_10: float
    queries: int
    source: str


class FileInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The size of a file in bytes, and its SHA-256."""

    size: int
    sha256: str


class IndexInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The contents of index.json.

    Attributes:
        format: see `FORMAT`.
        format_version: see `FORMAT_VERSION`.
        model_sha256: the digest of the model, see `o2v_jax.checkpoint.hash_model`.
        dtype: of the encoders' parameters and products, when items were encoded.
        side: of the items.
        class_index: the column of the scores that ranks.
        count: how many items there are.
        dimensions: of a vector.
        metric: what inner products of vectors are.
        key_type: of the keys.
        candidates: how many items the head compares with a query; 0: it need not, the metric is
            the score.
        anchors: how many more it compares, to find them.
        expansion: of a search in the graph; 0: there is no graph.
        recall: None for an exact search.
        files: by name, all but index.json.
        sha256: of the other entries, see `hash_info`.
    """

    format: str = FORMAT
    format_version: int = FORMAT_VERSION
    model_sha256: str
    dtype: DType
    side: Literal["in0", "in1"]
    class_index: _Natural
    count: _Positive
    dimensions: _Positive
    metric: MetricName
    key_type: KeyType
    candidates: _Natural = 0
    anchors: _Natural = 0
    expansion: _Natural = 0
    recall: Recall | None = None
    files: dict[str, FileInfo] = msgspec.field(default_factory=dict)
    sha256: str = ""


class StoredIndex(NamedTuple):
    """An index that was read; `graph` is the path of its graph, if it has one."""

    info: IndexInfo
    vectors: Floats
    keys: pa.ChunkedArray
    graph: Path | None


class VectorFile:
    """Writes vectors to an .npy file, some at a time; complete when its block ends.

    Args:
        path: of the new file.
        dimensions: of a vector.
    """

    def __init__(self, path: Path, dimensions: int) -> None:
        self._file = path.open("wb")
        self._dimensions = dimensions
        self.count = 0

    def __enter__(self) -> Self:
        self._write_header()
        return self

    def append(self, vectors: Floats) -> None:
        """Writes vectors, float32 `[some, dimensions]`."""
        self._file.write(np.ascontiguousarray(vectors, np.float32).data)
        self.count += len(vectors)

    def __exit__(self, *_: object) -> None:
        self._write_header()  # NumPy leaves room in it for the first axis to grow
        self._file.close()

    def _write_header(self) -> None:
        self._file.seek(0)
        shape = self.count, self._dimensions
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)


@contextmanager
def replace_index(target: Path) -> Iterator[Path]:
    """Gives the block a directory to write an index in; after it the index is under its name.

    Raises:
        CheckpointError: see `check_index_target`; or it cannot be written.
    """
    check_index_target(target)
    try:
        with replace_directory(target.resolve(), INDEX_FILES, last=INFO) as staging:
            yield staging
    except OSError as error:
        reason = f"cannot be written: {describe_os_error(error)}"
        raise CheckpointError(target, [reason]) from error


def check_index_target(target: Path) -> None:
    """Checks that an index may be written there.

    Raises:
        CheckpointError: it is neither new, nor empty, nor an index with nothing else beside it.
    """
    resolved = target.resolve()
    if not resolved.exists():
        try:
            require_creatable(resolved)
        except OSError as error:
            reason = f"cannot be made: {describe_os_error(error)}"
            raise CheckpointError(target, [reason]) from error
        return
    if not resolved.is_dir():
        raise CheckpointError(target, ["is a file, but an index is a directory"])
    found = {path.name for path in resolved.iterdir()}
    if is_fixed(resolved):
        found.discard("lost+found")  # a disk's own
    others = sorted(name for name in found - {*INDEX_FILES} if not is_leftover(name, resolved))
    if others:
        shown = ", ".join(others[:5])
        reason = f"holds other things than an index ({shown}): choose another name"
        raise CheckpointError(target, [reason])


def write_info(directory: Path, info: IndexInfo) -> IndexInfo:
    """Writes index.json, with the digests of the files that are there; returns its contents."""
    names = sorted(path.name for path in directory.iterdir() if path.name != INFO)
    files = {
        name: FileInfo((directory / name).stat().st_size, hash_file(directory / name))
        for name in names
    }
    info = msgspec.structs.replace(info, files=files)
    info = msgspec.structs.replace(info, sha256=hash_info(info))
    text = msgspec.json.format(msgspec.json.encode(info), indent=2)
    (directory / INFO).write_bytes(text + b"\n")
    return info


def hash_info(info: IndexInfo) -> str:
    """The SHA-256 of all entries but `sha256` itself."""
    others = msgspec.structs.replace(info, sha256="")
    return hash_bytes(msgspec.json.encode(others, order="sorted"))


def read_index(path: Path, model_sha256: str, *, verify: bool = True) -> StoredIndex:
    """Opens an index; vectors and keys stay on the disk until they are needed.

    Args:
        path: the directory.
        model_sha256: the digest of the model that it must be of.
        verify: whether to read every file whole and compare its SHA-256; otherwise only its size.

    Raises:
        CheckpointError: with every problem found.
    """
    for _ in range(_ATTEMPTS):
        before = _identify(path)
        try:
            found = _read(path, model_sha256, verify=verify)
        except (CheckpointError, OSError) as error:
            if _identify(path) == before:
                raise _explain(path, error) from error
        else:
            if _identify(path) == before:
                return found
    raise CheckpointError(path, ["is replaced again and again while it is read"])


def _identify(path: Path) -> tuple[int, int] | None:
    """Which directory has this name now."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _explain(path: Path, error: CheckpointError | OSError) -> CheckpointError:
    if isinstance(error, CheckpointError):
        return error
    return CheckpointError(path, [f"cannot be read: {describe_os_error(error)}"])


def _read(path: Path, model_sha256: str, *, verify: bool) -> StoredIndex:
    info = _read_info(path)
    problems = [*_find_file_problems(path, info, verify=verify)]
    if info.model_sha256 != model_sha256:
        theirs, ours = info.model_sha256[:_SHOWN_DIGEST], model_sha256[:_SHOWN_DIGEST]
        problems.insert(
            0,
            f"is of another model (SHA-256 {theirs}..., but the given one has {ours}...): "
            "give that model, or build the index again",
        )
    if problems:
        raise CheckpointError(path, problems)
    vectors = _open_vectors(path / VECTORS, info, problems)
    keys = _open_keys(path / KEYS, info, problems)
    if not problems and info.sha256 != hash_info(info):
        problems.append(f"{INFO} is not the file that was written: an entry was altered")
    if problems:
        raise CheckpointError(path, problems)
    graph = path / GRAPH if GRAPH in info.files else None
    return StoredIndex(info, vectors, keys, graph)


def _read_info(path: Path) -> IndexInfo:
    if not path.is_dir() or not (path / INFO).is_file():
        found = "is a file" if path.is_file() else f"holds no {INFO}"
        reason = f"{found if path.exists() else 'does not exist'}: {_NO_INDEX}"
        raise CheckpointError(path, [reason])
    if (path / INFO).stat().st_size > _MAX_INFO_BYTES:
        raise CheckpointError(path, [f"{INFO} takes more than {_MAX_INFO_BYTES:,} bytes"])
    try:
        document = msgspec.json.decode((path / INFO).read_bytes(), type=dict[str, Any])
        _check_format(document)
        return msgspec.convert(document, IndexInfo)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, InputError) as error:
        raise CheckpointError(path, [f"{INFO} is wrong: {error}"]) from error


def _check_format(document: dict[str, Any]) -> None:
    if document.get("format") != FORMAT:
        raise InputError(f'format must be "{FORMAT}", but it is {show(document.get("format"))}')
    version = document.get("format_version")
    if version != FORMAT_VERSION:
        known = f"this release of o2v_jax reads version {FORMAT_VERSION}"
        raise InputError(f"format version {show(version)} is unknown: {known}")


def _find_file_problems(path: Path, info: IndexInfo, *, verify: bool) -> Iterator[str]:
    needed = {VECTORS, KEYS, *([GRAPH] if info.expansion else [])}
    for name in sorted(needed - info.files.keys()):
        yield f"{INFO} does not name {name}"
    if GRAPH in info.files and not info.expansion:
        yield f"{INFO} names {GRAPH}, but its expansion is 0"
    for name in sorted(info.files.keys() - {*INDEX_FILES}):
        yield f"{INFO} names {show(name)}, which is no file of an index"
    for name in sorted(info.files.keys() & {*INDEX_FILES}):
        file, written = path / name, info.files[name]
        size = file.stat().st_size if file.is_file() else None
        if size is None:
            yield f"{name} is missing"
        elif size != written.size:
            cut = " (it is cut off)" if size < written.size else ""
            yield f"{name} has {size:,} bytes, but {written.size:,} were written{cut}"
        elif verify and hash_file(file) != written.sha256:
            yield f"{name} is not the file that was written: its SHA-256 differs"


def _open_vectors(file: Path, info: IndexInfo, problems: list[str]) -> Floats:
    expected = info.count, info.dimensions
    try:
        # an array of no rows cannot be mapped
        vectors: Floats = np.load(file, mmap_mode="r" if info.count else None, allow_pickle=False)
    except ValueError as error:
        problems.append(f"{VECTORS} is not an .npy file: {get_first_line(error)}")
        return np.zeros(expected, np.float32)
    if vectors.dtype != np.float32 or vectors.shape != expected:
        shown = f"{vectors.dtype} {list(vectors.shape)}"
        problems.append(f"{VECTORS} holds {shown}, but {INFO} says float32 {list(expected)}")
    return vectors


def _open_keys(file: Path, info: IndexInfo, problems: list[str]) -> pa.ChunkedArray:
    wanted = KEY_TYPES[info.key_type]
    try:
        table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
    except (pa.ArrowException, OSError) as error:
        problems.append(f"{KEYS} is not an Arrow file: {get_first_line(error)}")
        return pa.chunked_array([], wanted)
    if table.schema.types != [wanted] or table.num_rows != info.count:
        shown = f"{table.num_rows:,} rows of {', '.join(map(str, table.schema.types))}"
        problems.append(f"{KEYS} holds {shown}, but {INFO} says {info.count:,} of {wanted}")
        return pa.chunked_array([], wanted)
    return table.column(0)
