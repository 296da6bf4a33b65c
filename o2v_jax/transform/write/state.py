"""What is known of an unfinished run: the manifest says which run, the journal how far it is."""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Self

import msgspec

from o2v_jax.atomic import replace_file
from o2v_jax.errors import InputError
from o2v_jax.staging import try_lock
from o2v_jax.transform.read.parts import Position
from o2v_jax.transform.read.sources import Source, show_path
from o2v_jax.transform.write.origin import Origin, hash_path

STATE_FOLDER = ".o2v-transform"
STATE_FORMAT = 2


@dataclass(frozen=True)
class FileProgress:
    """How far a file is.

    Attributes:
        position: in the input.
        written: bytes of results, which are on the disk.
        records: of which there are results.
        errors: of these, how many are bad.
    """

    position: Position = field(default_factory=Position)
    written: int = 0
    records: int = 0
    errors: int = 0


class Entry(msgspec.Struct, frozen=True):
    """An input file of a run.

    Attributes:
        input: its path.
        output: its results' path in the output folder.
        size: bytes.
        modified: when it last was, in ns since 1970.
    """

    input: str
    output: str
    size: int
    modified: int

    @classmethod
    def of(cls, source: Source) -> "Entry":
        """That of a file as it is now."""
        path = os.path.abspath(source.path)  # noqa: PTH100 - without "..", links as they are
        return cls(path, str(source.target), source.size, source.modified)


class Manifest(msgspec.Struct):
    """Which run there is.

    Attributes:
        identity: the settings and the model.
        files: in the order of their numbers, those of earlier commands too.
        format: of the state.
    """

    identity: dict[str, Any]
    files: list[Entry]
    format: int = STATE_FORMAT


class _Note(msgspec.Struct):
    file: Annotated[int, msgspec.Meta(ge=0)]
    position: Position
    written: int
    records: int
    errors: int


class UnreadableError(InputError):
    """The state is damaged, or of another version of this library."""


class RunState:
    """The folder of an unfinished run, for this process alone until it is closed.

    Files are numbered as they are in the sources that a run was begun with, or went on with.

    Raises:
        InputError: another process is at work there.
        OSError: it cannot be made.
    """

    def __init__(self, output: Path) -> None:
        self.folder = output / STATE_FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self._journal = (self.folder / "journal.jsonl").open("a+b")
        self._lock()
        self._progress: dict[int, FileProgress] = {}
        self.manifest = Manifest({}, [])
        self._numbers: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.begun:
            shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # a full disk was reported before
            self._journal.close()

    @property
    def begun(self) -> bool:
        """Whether there is a run to resume."""
        return self._manifest_file.exists()

    @property
    def done(self) -> bool:
        """Whether there are results of any record."""
        return any(progress.records for progress in self._progress.values())

    def partial(self, number: int) -> Path:
        """Where the results of a file are until they are complete."""
        return self._make_partial_path(self._numbers[number])

    def of(self, number: int) -> FileProgress:
        """How far a file is."""
        return self._progress.get(self._numbers[number], FileProgress())

    def note(self, number: int, progress: FileProgress) -> None:
        """Records durably how far a file is."""
        self.note_all({number: progress})

    def note_all(self, progress: Mapping[int, FileProgress]) -> None:
        """Records durably how far files are."""
        noted = {self._numbers[number]: some for number, some in progress.items()}
        lines = [json.dumps({"file": at, **asdict(some)}) + "\n" for at, some in noted.items()]
        if lines:
            self._journal.write("".join(lines).encode())
            self._journal.flush()
            os.fsync(self._journal.fileno())
            self._progress |= noted

    def read(self) -> None:
        """Reads the run that there is.

        Raises:
            UnreadableError: it is damaged, or of another version.
        """
        self.manifest = self._read_manifest()
        self._progress = self._read_journal()
        self._numbers = []

    def begin(self, identity: Mapping[str, Any], sources: Sequence[Source]) -> None:
        """Starts a run over; the results that its files have are removed."""
        self.clear(identity, [self.folder.parent / source.target for source in sources])
        self.number(sources)
        self.write_manifest()

    def clear(self, identity: Mapping[str, Any], replaced: Iterable[Path] = ()) -> None:
        """Forgets what there was, and removes the results that are to be replaced.

        Args:
            identity: of the run that is to begin; the manifest is still to be written.
            replaced: results.
        """
        self._manifest_file.unlink(missing_ok=True)
        for partial in self.folder.glob("*.out"):
            partial.unlink()
        self._journal.truncate(0)
        self._progress.clear()
        for results in replaced:
            if os.path.lexists(results):
                results.unlink()
        self.manifest = Manifest(dict(identity), [])

    def number(self, sources: Sequence[Source]) -> list[int]:
        """Numbers files as these sources; returns which of them the run has had in another state.

        Files that the run had and that are not among them keep what they have.
        """
        files = self.manifest.files
        held = {(entry.input, entry.output): at for at, entry in enumerate(files)}
        entries = [Entry.of(source) for source in sources]
        self._numbers = []
        changed = list[int]()
        for number, entry in enumerate(entries):
            at = held.get((entry.input, entry.output), len(files))
            if at < len(files) and files[at] != entry:
                changed.append(number)
            files[at : at + 1] = [entry]
            self._numbers.append(at)
        return changed

    def make_origin_of(self, entry: Entry, progress: FileProgress) -> Origin:
        """What the complete results of a file are marked with."""
        read = hash_path(entry.input), entry.size, entry.modified
        return Origin(self.manifest.identity, *read, progress.records, progress.errors)

    def origin(self, number: int) -> Origin:
        """What the complete results of a file are marked with, by its number."""
        return self.make_origin_of(self.manifest.files[self._numbers[number]], self.of(number))

    def list_others(self) -> Iterator[tuple[Entry, FileProgress, Path]]:
        """Files of the run that are not among its sources now, each with its partial results."""
        for at in sorted(self._progress.keys() - set(self._numbers)):
            yield self.manifest.files[at], self._progress[at], self._make_partial_path(at)

    def remove(self) -> None:
        """Ends a run that is complete, unless files that were not given now are done in part."""
        for entry, progress, _ in self.list_others():
            if progress.records and not progress.position.final and _is_unchanged(entry):
                return
        self._manifest_file.unlink()  # the rest goes when this is closed

    def write_manifest(self) -> None:
        """Records durably which run it is, and its files."""
        with replace_file(self._manifest_file) as path, path.open("w") as stream:
            json.dump(msgspec.to_builtins(self.manifest), stream, indent=1)

    @property
    def _manifest_file(self) -> Path:
        return self.folder / "manifest.json"

    def _make_partial_path(self, at: int) -> Path:
        return self.folder / f"{at:06}.out"

    def _lock(self) -> None:
        if try_lock(self._journal.fileno()) is False:
            self._journal.close()
            where = show_path(self.folder)
            raise InputError(f"{where}: another o2v transform is running there")

    def _read_manifest(self) -> Manifest:
        try:
            # the names of files can be such that only the standard library reads them again
            held = json.loads(self._manifest_file.read_bytes())
            version = held["format"]
            if version == STATE_FORMAT:
                return msgspec.convert(held, Manifest)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._describe_damage(error) from error
        raise UnreadableError(f"holds a run of another version (format {version!s:.20})")

    def _read_journal(self) -> dict[int, FileProgress]:
        found = {}
        try:
            for line in _read_whole_lines(self._journal):
                note = msgspec.json.decode(line, type=_Note)
                _ = self.manifest.files[note.file]
                found[note.file] = FileProgress(
                    note.position, note.written, note.records, note.errors
                )
        except (ValueError, IndexError) as error:
            raise self._describe_damage(error) from error
        return found

    def _describe_damage(self, error: Exception) -> UnreadableError:
        return UnreadableError(f"is damaged ({error!s:.200})")


def _read_whole_lines(stream: BinaryIO) -> list[bytes]:
    """All lines but one that a kill cut short, which is taken off."""
    stream.seek(0)
    written = stream.read()
    whole = written.rfind(b"\n") + 1
    if whole < len(written):
        stream.truncate(whole)
    return written[:whole].splitlines()


def _is_unchanged(entry: Entry) -> bool:
    try:
        about = Path(entry.input).stat()
    except OSError:
        return False
    return (entry.size, entry.modified) == (about.st_size, about.st_mtime_ns)
