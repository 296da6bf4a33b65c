"""The engine that scores in this process."""

from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from o2v_jax.checkpoint import Model
from o2v_jax.constants import DType, Mode
from o2v_jax.data import DecodeOptions, Records
from o2v_jax.data.warnings import DataWarnings, zero_inside
from o2v_jax.scoring import Scorer, get_device_profile
from o2v_jax.transform.engines.base import PartResults, Step
from o2v_jax.transform.read.parquet import read_batch
from o2v_jax.transform.read.parts import Part
from o2v_jax.transform.settings import FileSettings
from o2v_jax.transform.write.answers import RecordCounts, compute_results, read_slices
from o2v_jax.transform.write.parquet import BatchResults

if TYPE_CHECKING:
    from o2v_jax.scoring import Scorer
    from o2v_jax.transform.read.rows import PayloadRows


class Local:
    """One scorer in this process.

    Args:
        scorer: computes.
        identity: of its model.
        notices: takes warnings about the data; by default they are logged.
    """

    knows_model = True

    def __init__(
        self, scorer: "Scorer", identity: str, notices: DataWarnings | None = None
    ) -> None:
        self.identity = identity
        self._scorer, self._notices = scorer, notices or DataWarnings(scorer.config)
        self._options = DecodeOptions.for_model(scorer.config, scorer.tokenizers)

    @property
    def padding(self) -> float | None:
        """The share of the computed tokens that was padding; None if there were none."""
        computed = self._scorer.computed_tokens
        return 1 - self._scorer.useful_tokens / computed if computed else None

    def split_work(
        self, part: Part, name: str, settings: FileSettings, *, skip: bool
    ) -> Iterator[Any]:
        """Rows that are scored together, each with the name of their file."""
        if settings.parquet:
            yield name, _read_batch(part, name, self._options, skip=skip), part, None
            return
        config = self._scorer.config
        for rows in read_slices(part, name, settings, config, self._options, skip=skip):
            yield name, rows, part, settings.max_seq_lens

    def compute(self, steps: Iterable[Step]) -> Generator[tuple[Step, PartResults | None]]:
        """Scores in the caller's thread, so that a signal is received between two program calls."""
        for step in steps:
            if step.work is None:
                yield step, None
                continue
            name, rows, part, max_seq_lens = step.work
            self._notify(rows.records, name, cut=max_seq_lens is None)
            results = compute_results(rows, self._scorer, max_seq_lens)
            yield step, results if part.batch is None else BatchResults(results, part, name)

    def _notify(self, records: Records, name: str, *, cut: bool) -> None:
        """Warns of suspicious data; of cut sequences only if no lengths were asked for."""
        for side, rows in enumerate((records.in0, records.in1)):
            if cut:
                self._notices.check(side, rows, name)
            else:
                self._notices.warn(side, 0, zero_inside(rows), name)


def _read_batch(part: Part, name: str, options: DecodeOptions, *, skip: bool) -> "PayloadRows":
    rows = read_batch(part, name, options)
    if rows.errors and not skip:
        raise rows.errors[min(rows.errors)]
    return rows


def transform_part(
    part: Part,
    name: str,
    settings: FileSettings,
    engine: Local,
    *,
    skip: bool,
    counts: RecordCounts,
) -> Iterator[bytes]:
    """Reads, scores and encodes a part; yields its results in pieces.

    They depend on the arguments alone, wherever it runs.

    Args:
        part: of a file.
        name: the file's, for messages.
        settings: for this file.
        engine: computes.
        skip: whether a bad record gets an error as its result.
        counts: the part is added to it.

    Raises:
        RecordError: the first bad record, if they are not skipped.
        InputError: the model gave a value that JSON cannot express.
    """
    works = engine.split_work(part, name, settings, skip=skip)
    for _, written in engine.compute(Step(0, work) for work in works):
        if written is not None:
            yield from written.encode(settings, skip=skip, counts=counts)


def make_scorer(model: Model, *, mode: Mode | None = None, dtype: DType = "float32") -> Scorer:
    """Makes the scorer of batch transform, the same here and in workers: digits depend on shapes.

    It has no fused programs, because a few pairs never come alone.

    Raises:
        InputError: see `Scorer`.
    """
    profile = get_device_profile()._replace(fused_batches=())
    return Scorer(model, preferred_mode=mode, dtype=dtype, profile=profile)
