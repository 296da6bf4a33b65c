"""A preparation from beginning to end: tables in, a directory for `o2v train` out."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from o2v_jax.atomic import replace_directory
from o2v_jax.errors import InputError
from o2v_jax.preparation.columns import Collection
from o2v_jax.preparation.label_column import LabelColumn
from o2v_jax.preparation.read.tables import Layout, find_files, read_table
from o2v_jax.preparation.report import PreparationReport
from o2v_jax.preparation.settings import (
    GivenSides,
    Side,
    check_given,
    find_contradictions,
    read_given,
)
from o2v_jax.preparation.skipped_rows import SkippedRows
from o2v_jax.preparation.split import SPLIT_NAMES, Spill, Split, SplitName
from o2v_jax.preparation.write import (
    HYPERPARAMETERS,
    PREPARED_FILES,
    check_inputs,
    check_preparation_target,
    finish,
)
from o2v_jax.util import require_all_local

# the file that holds a part's records between the two passes
_SPILLS: dict[SplitName, str] = {part: f"{part}.arrow" for part in SPLIT_NAMES}


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """What to prepare, and where to write it.

    Attributes:
        files: tables that `split` deals out to the parts; each is a file, or a folder of files.
        sides: where in0 and in1 come from.
        output: the directory to write.
        label: where labels come from; None: every record is a positive, with label 1.
        validation_files: tables of records for validation.
        test_files: tables of records for testing.
        split: the shares of `files` for validation and for testing.
        layout: how all files are to be read.
        negatives: columns of hard negatives, in1 that are known to be wrong for the in0 of their
            row; they are read as in1 is, and an empty cell holds none.
        shared: whether in0 and in1 have one vocabulary, and so may have one token table.
        skip: whether bad records are left out; otherwise the first one is an error.
        force: whether an earlier preparation in `output` is replaced.
        progress: is called with the number of each few thousand rows read.

    Raises:
        InputError: settings contradict each other, or a path is a URL.
    """

    files: tuple[Path, ...]
    sides: tuple[Side, Side]
    output: Path
    label: LabelColumn | None = None
    validation_files: tuple[Path, ...] = ()
    test_files: tuple[Path, ...] = ()
    split: Split = field(default_factory=Split)
    layout: Layout = field(default_factory=Layout)
    negatives: tuple[str, ...] = ()
    shared: bool = False
    skip: bool = False
    force: bool = False
    progress: Callable[[int], None] = lambda _: None

    def __post_init__(self) -> None:
        files = (path for _, path in self._list_sources())
        require_all_local(self.output, *files, *(side.vocabulary for side in self.sides))
        for contradiction in self._find_contradictions():
            raise InputError(contradiction)

    def run(self) -> PreparationReport:
        """Reads, counts and writes; the output appears at the end, or not at all.

        Raises:
            O2VError: a file, a record, an argument or the output is not usable.
        """
        target = self.output.resolve()
        check_preparation_target(target, force=self.force)
        check_inputs(target, [path for _, path in self._list_sources()])
        # the last file's form is checked before the first file is read
        self.layout.check([file for _, path in self._list_sources() for file in find_files(path)])
        given = self._read_given()
        problems = SkippedRows(self.skip)
        names = (*PREPARED_FILES, *_SPILLS.values())
        with (
            _translate_write_errors(self.output),
            replace_directory(target, names, last=HYPERPARAMETERS) as staging,
        ):
            spills = {part: Spill(staging / name) for part, name in _SPILLS.items()}
            collection = Collection(
                spills,
                self.sides,
                self.label,
                problems,
                negatives=self.negatives,
                shared=self.shared,
                given=given,
            )
            with closing(collection):
                self._collect(collection)
            return finish(staging, collection, given, self._list_wanted_parts())

    def _find_contradictions(self) -> Iterator[str]:
        yield from find_contradictions(self.sides, shared=self.shared)
        if not any(True for _ in self._list_sources()):
            yield "there are no files to prepare"
        for at, side in enumerate(self.sides):
            if side.kind == "ids" and side.vocabulary:
                yield f"in{at} holds ids already, so it takes no vocabulary"
            if side.kind != "ids" and not (side.vocabulary or self.files):
                yield f"in{at} needs files to train on, or a vocabulary"
        for part, files in (("validation", self.validation_files), ("test", self.test_files)):
            if files and getattr(self.split, part):
                yield f"{part} takes files of its own or a share of the others, not both"
            if getattr(self.split, part) and not self.files:
                yield f"{part} is a share of the files to train on, but there are none"

    def _read_given(self) -> GivenSides:
        first = read_given(self.sides[0])
        if not self.shared:
            return first, read_given(self.sides[1])
        if first is not None:
            check_given(replace(self.sides[1], vocabulary=self.sides[0].vocabulary), first)
        return first, first

    def _collect(self, collection: Collection) -> None:
        dealer = self.split.make_dealer()
        for part, file in self._list_sources():
            for rows in read_table(file, collection.columns, self.layout, collection.problems):
                collection.collect(part, rows, dealer)
                self.progress(len(rows))

    def _list_sources(self) -> Iterator[tuple[SplitName, Path]]:
        """Every file, those to be split first."""
        parts = zip(SPLIT_NAMES, (self.files, self.validation_files, self.test_files), strict=True)
        return ((part, file) for part, files in parts for file in files)

    def _list_wanted_parts(self) -> tuple[SplitName, ...]:
        """The parts that were asked for: each must get records."""
        shares = {"validation": self.split.validation, "test": self.split.test}
        given: set[str] = {part for part, _ in self._list_sources()}
        given |= {part for part in shares if shares[part]}
        return tuple(part for part in SPLIT_NAMES if part in given)


@contextmanager
def _translate_write_errors(output: Path) -> Iterator[None]:
    """Names the directory that cannot be written, because errors of writing often name no file."""
    try:
        yield
    except BrokenPipeError:  # of the progress that nobody reads
        raise
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise InputError(f"{output}: cannot be written ({reason})") from error
