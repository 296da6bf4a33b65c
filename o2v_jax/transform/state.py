"""What is known of an unfinished run: the manifest says which run, the journal how far it is."""

import fcntl
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

from o2v_jax.errors import InputError
from o2v_jax.transform.reading import Position
from o2v_jax.transform.sources import Source

FOLDER = ".o2v-transform"
FORMAT = 1


@dataclass(frozen=True)
class Progress:
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


class State:
    """The folder of an unfinished run, for this process alone until it is closed.

    Raises:
        InputError: another process is at work there, or it cannot be read.
    """

    def __init__(self, output: Path) -> None:
        self.folder = output / FOLDER
        self.folder.mkdir(parents=True, exist_ok=True)
        self._journal = (self.folder / "journal.jsonl").open("a+b")
        self._lock()
        self._progress: dict[int, Progress] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.begun:
            shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # of a full disk it was told before
            self._journal.close()

    @property
    def begun(self) -> bool:
        """Whether there is a run to go on with."""
        return self._manifest.exists()

    def partial(self, number: int) -> Path:
        """Where the results of a file are until they are complete."""
        return self.folder / f"{number:06}.out"

    def of(self, number: int) -> Progress:
        """How far a file is."""
        return self._progress.get(number, Progress())

    def note(self, number: int, progress: Progress) -> None:
        """Remembers for good how far a file is."""
        line = json.dumps({"file": number, **asdict(progress)}) + "\n"
        self._journal.write(line.encode())
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self._progress[number] = progress

    def begin(self, identity: Mapping[str, Any], sources: Sequence[Source]) -> None:
        """Forgets what there was and begins a run of these files."""
        self._manifest.unlink(missing_ok=True)
        for partial in self.folder.glob("*.out"):
            partial.unlink()
        self._journal.truncate(0)
        self._progress.clear()
        self._write_manifest(identity, sources)

    def go_on(self, identity: Mapping[str, Any], sources: Sequence[Source]) -> list[Source]:
        """Goes on with the run that there is; returns files that begin anew, having changed.

        Raises:
            InputError: it is another run, or a file whose results are complete has changed.
        """
        held, self._progress = self._read_manifest(), self._read_journal()
        self._compare(held["identity"], identity)
        files = [_described(source) for source in sources]
        names = [[(f["input"], f["output"]) for f in some] for some in (held["files"], files)]
        if names[0] != names[1]:
            self._refuse("other inputs")
        changed = [n for n, (a, b) in enumerate(zip(held["files"], files, strict=True)) if a != b]
        for number in changed:
            if self.of(number).position.final:
                self._refuse(f"results of what {sources[number].path} was before it changed")
            self.note(number, Progress())
        if changed:
            self._write_manifest(identity, sources)
        return [sources[number] for number in changed]

    def remove(self) -> None:
        """Ends a run that is complete."""
        self._manifest.unlink()  # the rest goes when this is closed

    @property
    def _manifest(self) -> Path:
        return self.folder / "manifest.json"

    def _lock(self) -> None:
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._journal.close()
            raise InputError(f"{self.folder}: another o2v transform is at work there") from error

    def _read_journal(self) -> dict[int, Progress]:
        found = {}
        for line in _whole_lines(self._journal):
            try:
                entry = json.loads(line)
                number, position = entry.pop("file"), Position(*entry.pop("position"))
                found[number] = Progress(position, **entry)
            except (ValueError, TypeError, KeyError) as error:
                self._damaged(error)
        return found

    def _read_manifest(self) -> Any:
        try:
            held = json.loads(self._manifest.read_bytes())
            if held["format"] != FORMAT:
                self._refuse(f"a run of another version (format {held['format']})")
        except (ValueError, TypeError, KeyError) as error:
            self._damaged(error)
        return held

    def _write_manifest(self, identity: Mapping[str, Any], sources: Sequence[Source]) -> None:
        files = [_described(source) for source in sources]
        content = {"format": FORMAT, "identity": dict(identity), "files": files}
        temporary = self._manifest.with_suffix(".tmp")
        with temporary.open("w") as stream:
            json.dump(content, stream, indent=1)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.rename(self._manifest)
        sync(self.folder)

    def _compare(self, held: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        names = sorted(held.keys() | identity.keys())
        other = [n for n in names if held.get(n) != identity.get(n)]
        if other:
            told = ", ".join(f"{n} was {held.get(n)}, now {identity.get(n)}" for n in other)
            self._refuse(f"an unfinished run with other settings ({told})")

    def _refuse(self, what: str) -> None:
        raise InputError(
            f"{self.folder}: holds {what}: give the same command to go on with it, "
            "or --no-resume to begin anew"
        )

    def _damaged(self, error: Exception) -> None:
        reason = f"{self.folder}: is damaged ({error}): begin anew with --no-resume"
        raise InputError(reason) from error


def sync(path: Path) -> None:
    """Brings the names in a folder to the disk, or a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _whole_lines(stream: BinaryIO) -> list[bytes]:
    """All lines but one that a kill cut short, which is taken off."""
    stream.seek(0)
    written = stream.read()
    whole = written.rfind(b"\n") + 1
    if whole < len(written):
        stream.truncate(whole)
    return written[:whole].splitlines()


def _described(source: Source) -> dict[str, Any]:
    return {
        "input": str(source.path.absolute()),
        "output": str(source.target),
        "size": source.size,
        "modified": source.modified,
    }
