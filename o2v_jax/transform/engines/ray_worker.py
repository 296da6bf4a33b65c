"""What runs in a worker process of Ray: one scorer, to which whole parts come."""

from collections.abc import Iterable, Iterator
from importlib import import_module
from typing import Any, NamedTuple, TypeAlias

from o2v_jax.checkpoint import Model
from o2v_jax.constants import DType, Mode
from o2v_jax.data.warnings import DataWarnings
from o2v_jax.errors import O2VError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.scoring import Scorer, use_compilation_cache
from o2v_jax.transform.engines.local import Local, make_scorer, transform_part
from o2v_jax.transform.read.parts import Part
from o2v_jax.transform.settings import FileSettings
from o2v_jax.transform.write.answers import RecordCounts

Notice: TypeAlias = tuple[int, int, bool, str]  # of DataWarnings.warn
MESSAGE_BYTES = 2**22


class Piece(NamedTuple):
    """Some of a part's results; the last one says what all of them are.

    Attributes:
        content: text of results.
        records: of the part.
        errors: of these, how many are bad.
        error: that fails the file.
        useful_tokens: that the part's records hold.
        computed_tokens: padding included.
        notices: that a person should hear of.
    """

    content: bytes = b""
    records: int = 0
    errors: int = 0
    error: O2VError | None = None
    useful_tokens: int = 0
    computed_tokens: int = 0
    notices: tuple[Notice, ...] = ()

    def encode(
        self, settings: FileSettings, *, skip: bool, counts: RecordCounts
    ) -> Iterator[bytes]:
        """Yields the content.

        Raises:
            O2VError: fails the file.
        """
        del settings, skip  # the worker had them
        if self.error is not None:
            raise self.error
        counts.records += self.records
        counts.errors += self.errors
        yield self.content


class Worker:
    """An actor. Everything it needs comes with a part, so that Ray can redo one in a new process.

    Args:
        mode: leave out what this mode does not need.
        dtype: what the encoders hold and multiply.
    """

    def __init__(self, mode: Mode | None, dtype: DType) -> None:
        self._mode = mode
        self._dtype = dtype
        self._loaded: _Loaded | None = None

    def ready(self, model: list[Any]) -> None:
        """Answers once there is a scorer.

        Args:
            model: in a list the reference of a `Model` in Ray's object store.
        """
        self._load(model)

    def transform(
        self, model: list[Any], part: Part, name: str, settings: FileSettings, skip: bool
    ) -> Iterator[Piece]:
        """The results of a part; the model is as for `ready`."""
        scorer, engine, recorder = self._load(model)
        useful = scorer.useful_tokens
        computed = scorer.computed_tokens
        recorder.notices.clear()
        counts = RecordCounts()
        problem = None
        texts = transform_part(part, name, settings, engine, skip=skip, counts=counts)
        try:
            for text in gather_texts(texts, MESSAGE_BYTES):
                yield Piece(text)
        except O2VError as error:
            problem = error
        yield Piece(
            records=counts.records,
            errors=counts.errors,
            error=problem,
            useful_tokens=scorer.useful_tokens - useful,
            computed_tokens=scorer.computed_tokens - computed,
            notices=tuple(recorder.notices),
        )

    def _load(self, model: list[Any]) -> "_Loaded":
        if self._loaded is None:
            use_compilation_cache()
            held: Model = import_module("ray").get(model[0])
            recorder = _Recorder(held.config)
            scorer = make_scorer(held, mode=self._mode, dtype=self._dtype)
            self._loaded = _Loaded(scorer, Local(scorer, "", recorder), recorder)
        return self._loaded


def gather_texts(texts: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Joins texts into fewer ones, each of at least `size` but the last.

    >>> list(gather_texts([b"a", b"bc", b"", b"d"], 2))
    [b'abc', b'd']
    """
    waiting = list[bytes]()
    held = 0
    for text in texts:
        waiting.append(text)
        held += len(text)
        if held >= size:
            yield b"".join(waiting)
            waiting = []
            held = 0
    if held:
        yield b"".join(waiting)


class _Loaded(NamedTuple):
    scorer: Scorer
    engine: Local
    recorder: "_Recorder"


class _Recorder(DataWarnings):
    """Keeps warnings for the process that a person started."""

    notices: list[Notice]

    def __init__(self, config: Hyperparameters) -> None:
        super().__init__(config)
        self.notices = []

    def warn(self, side: int, over: int, zero: bool, name: str) -> None:
        if over or zero:
            self.notices.append((side, over, zero, name))
