"""Scorer: ragged lists in, NumPy arrays out."""

from dataclasses import replace
from typing import Any, Literal, NoReturn, TypeAlias, get_args

import jax
import numpy as np

from o2v_jax.arguments import require_choice, require_instance, require_integer
from o2v_jax.array_types import Floats, Index
from o2v_jax.checkpoint import Model
from o2v_jax.checkpoint.summary import summarize_inputs, summarize_network
from o2v_jax.constants import DType, Mode
from o2v_jax.data.deduplicate import AnyRagged
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.tokenizers import require_tokenizers
from o2v_jax.data.validate import MaxSeqLens
from o2v_jax.devices import default_device, own_settings, require_own_threads
from o2v_jax.errors import InputError
from o2v_jax.model import Params, require_fitting_params
from o2v_jax.scoring.device_profile import DeviceProfile, get_device_profile
from o2v_jax.scoring.executor import Executor
from o2v_jax.scoring.inputs import InputReader
from o2v_jax.scoring.programs import ProgramKey
from o2v_jax.scoring.query_scores import ScoreQueries, make_query_scorer
from o2v_jax.scoring.ranking import Ranking, choose_class, rank_scores, score_candidates
from o2v_jax.scoring.shapes import choose_model_shapes
from o2v_jax.scoring.warm_up import WarmUp
from o2v_jax.scoring.weights import Weights

RaggedLike: TypeAlias = Any  # whatever `Ragged.of` takes


class Scorer:
    """Scores pairs and embeds objects with one model.

    Each side is encoded in its own length bucket, and an object that repeats within a call is
    encoded once; a few short pairs are scored by one fused program instead, where that is faster.
    Programs come from a table that `warm` compiles ahead of time. Safe to call from several
    threads.

    Args:
        model: what `o2v_jax.load` returns.
        preferred_mode: as Object2Vec's INFERENCE_PREFERRED_MODE. "embedding" leaves the comparator
            and the MLP off the device until a score is asked for, and out of the warm-up.
        max_programs: upper bound on how many programs warm-up compiles.
        dtype: "tensorfloat32" multiplies in TF32 on a GPU that has it: several times as fast,
            scores keep three to four digits; elsewhere it is float32. "bfloat16" holds the
            encoders' parameters in half the memory and multiplies them so, which most CPUs do
            slower; scores keep two to three digits. What the encoders add up is always float32.
        device: holds the parameters and does the work; None: JAX's default device at this moment.
        profile: what shapes and schedules are tuned to; None: the device's kind.

    What is computed does not depend on JAX's settings for a process (`JAX_ENABLE_X64`,
    `JAX_DISABLE_JIT`, `jax_default_matmul_precision` and so on). A CPU computes with the model's
    NumPy arrays where they lie, without a copy; they become read-only, so that they cannot change
    under a Scorer: for other parameters make other arrays and another Scorer. A Scorer holds
    compiled programs and memory of a device: it does not pickle (a `Model` does), and does not work
    in a process that was forked after JAX had started.

    Attributes:
        config: of the model.
        tokenizers: of the model, or None.
        class_names: of the model.
        preferred_mode: as given.
        dtype: as given.
        shapes: the padded shapes that programs are compiled for.

    Raises:
        InputError: an argument is of another type or none of these; the parameters do not have the
            names, shapes and dtype (float32) that `config` gives them; JAX finds no device; or
            `max_programs` is too few for one bucket a side.

    >>> import o2v_jax
    >>> config = o2v_jax.Hyperparameters(
    ...     enc0_max_seq_len=8, enc0_vocab_size=50, enc_dim=16, mlp_dim=8)
    >>> scorer = o2v_jax.Scorer(o2v_jax.Model(config, o2v_jax.init(config)))
    >>> scores = scorer.score([[4, 7], [5]], [[9, 1, 3], [2]])
    >>> scores.shape, bool(np.allclose(scores.sum(axis=1), 1))
    ((2, 2), True)
    >>> scorer.embed(in0=[[4, 7]]).shape
    (1, 16)
    >>> scorer.rank([4, 7], [[9], [1, 3], [2]], k=2).indices.shape
    (2,)
    """

    def __init__(
        self,
        model: Model,
        *,
        preferred_mode: Mode | None = None,
        max_programs: int = 80,
        dtype: DType = "float32",
        device: jax.Device | None = None,
        profile: DeviceProfile | None = None,
    ) -> None:
        _check_settings(model, preferred_mode, max_programs, dtype, device, profile)
        params = require_fitting_params(model.config, model.params, float32=True)
        model = replace(model, params=params)
        device = device or default_device()
        profile = profile or get_device_profile(device.platform)
        if preferred_mode == "embedding":  # nothing is compared, in fused programs or others
            profile = profile._replace(fused_batches=())
        self.config = model.config
        self.tokenizers = model.tokenizers
        self.class_names = model.class_names
        self.preferred_mode = preferred_mode
        self.dtype = dtype
        self.shapes = choose_model_shapes(model, profile=profile, max_programs=max_programs)
        self._inputs = InputReader(model.config, model.tokenizers)
        with own_settings():
            self._executor = Executor(self.shapes, Weights(model, dtype, device, profile))
        _make_read_only(params)
        self._warm_up = WarmUp(self._executor, preferred_mode)
        if preferred_mode != "embedding":
            _ = self._executor.weights.head

    def __repr__(self) -> str:
        """A few lines: the network, and where and how it computes."""
        weights = self._executor.weights
        lines = [
            f"Scorer on {weights.device or default_device()}, {weights.dtype}",
            *summarize_network(self.config),
            *summarize_inputs(self.tokenizers, self.class_names),
            f"{self.compiled} programs compiled",
        ]
        return "\n  ".join(lines)

    def score(
        self, in0: RaggedLike, in1: RaggedLike, *, max_seq_lens: MaxSeqLens | None = None
    ) -> Floats:
        """Scores pairs: float32 `[records, num_classes]` probabilities, or `[records, 1]` values.

        Args:
            in0: one sequence of token ids a record: whatever `Ragged.of` takes (lists of lists,
                arrays of two dimensions, columns of lists), or a `Ragged`. If the model has
                tokenizers, also one raw value a record: a list or a column of texts.
            in1: the other side, as many.
            max_seq_lens: cut the sequences there, not at the model's max_seq_len.

        Raises:
            InputError: the sides differ in number, something is not an integer, the model has no
                tokenizers for texts, or `max_seq_lens` is no pair of lengths in 1..5000.
            RecordError: an id is outside the vocabulary, or a tokenizer refuses a value; says
                which.
        """
        require_own_threads()
        sides = self._inputs.read_ids(0, in0), self._inputs.read_ids(1, in1)
        if len(sides[0]) != len(sides[1]):
            raise InputError(f"in0 has {len(sides[0])} records and in1 has {len(sides[1])}")
        validate = self._inputs.validate
        in0, in1 = (validate(side, rows, max_seq_lens) for side, rows in enumerate(sides))
        return self._executor.score(in0, in1)

    def embed(
        self,
        in0: RaggedLike | None = None,
        in1: RaggedLike | None = None,
        *,
        max_seq_lens: MaxSeqLens | None = None,
    ) -> Floats:
        """Encodings of one side's objects: float32 `[records, enc_dim]`. Give in0 or in1.

        Raises:
            InputError, RecordError: as for `score`.
        """
        if (in0 is None) == (in1 is None):
            raise InputError("embed takes exactly one of in0 and in1")
        side, given = (0, in0) if in1 is None else (1, in1)
        require_own_threads()
        rows = self._inputs.read_ids(side, given)
        return self._executor.embed(side, self._inputs.validate(side, rows, max_seq_lens))

    def score_validated(self, in0: AnyRagged, in1: AnyRagged) -> Floats:
        """As `score`, of ids that were validated and cut before: nothing is checked again.

        What a server decoded goes this way. Ids outside the vocabulary give undefined scores.

        Args:
            in0: rows of token ids, each at most 5000 long and all in the vocabulary; or
                `DistinctRows`, whose repetitions are not searched for again.
            in1: as many.
        """
        require_own_threads()
        return self._executor.score(in0, in1)

    def embed_validated(self, side: Literal[0, 1], rows: AnyRagged) -> Floats:
        """As `embed`, of ids that were validated and cut before; see `score_validated`."""
        require_own_threads()
        return self._executor.embed(side, rows)

    def read_objects(self, side: Literal[0, 1], objects: RaggedLike) -> Ragged | Floats:
        """Objects as what the other methods compute with: ids, or encodings.

        Args:
            side: 0 (in0) or 1 (in1).
            objects: sequences of token ids or raw values, as for `embed`, or encodings
                `[n, enc_dim]`, as for `rank`.

        Returns:
            Ids that are validated and cut, for `embed_validated`; or encodings, float32
            `[n, enc_dim]`.

        Raises:
            InputError, RecordError: as for `score`.
        """
        require_choice("side", side, (0, 1), "0 (in0) or 1 (in1)")
        found = self._inputs.read_objects(side, objects)
        return self._inputs.validate(side, found) if isinstance(found, Ragged) else found

    def compare(self, enc0: Floats, rows0: Index, enc1: Floats, rows1: Index) -> Floats:
        """Scores of pairs of encodings, as of `score`: float32 `[pairs, outputs]`.

        Args:
            enc0: encodings of in0, float32 `[n, enc_dim]`.
            rows0: of each pair the row in `enc0`, int64 `[pairs]`; not checked.
            enc1: encodings of in1, float32 `[m, enc_dim]`.
            rows1: of each pair the row in `enc1`, int64 `[pairs]`; not checked.
        """
        require_own_threads()
        return self._executor.compare(enc0, rows0, enc1, rows1)

    def rank(
        self,
        query: Any,
        candidates: Any,
        k: int,
        *,
        query_side: Literal[0, 1] = 0,
        class_index: int | None = None,
    ) -> Ranking:
        """The k candidates with the highest scores beside one query, best first.

        Args:
            query: token ids, or its encoding `[enc_dim]`: a list or any array. Integers are ids,
                floating-point numbers of any width (bfloat16 too) an encoding. If the model has
                tokenizers, also a raw value: a text.
            candidates: sequences of token ids or raw values, as for `score`, or their encodings
                `[n, enc_dim]`, as `embed` or a server gives them: an array, a column, or lists of
                numbers. Encodings computed once serve any number of queries.
            k: how many to return; fewer if there are fewer candidates.
            query_side: 0 if the query is an in0 and the candidates are in1, 1 the other way round.
            class_index: the class whose probability ranks; 1 if there are two classes, required if
                there are more, none for regression.

        Returns:
            `Ranking(indices, scores)`: int64 and float32 `[min(k, n)]`. Equal scores keep the
            candidates' order, and encodings with a NaN come last.

        Raises:
            InputError: an argument is none of these.
            RecordError: as for `score`.
        """
        require_own_threads()
        require_choice("query_side", query_side, (0, 1), "0 (in0) or 1 (in1)")
        k = require_integer("k", k, 1)
        column = choose_class(self.config, class_index)
        one = self._inputs.read_query(query_side, query)
        many = self._inputs.read_objects(1 - query_side, candidates)
        scores = score_candidates(self._executor, self._inputs, query_side, one, many)
        return rank_scores(scores[:, column], k)

    def make_query_scorer(
        self,
        queries: Any,
        candidates: Any,
        *,
        query_side: Literal[0, 1] = 0,
        class_index: int | None = None,
    ) -> ScoreQueries:
        """A function that scores many queries beside all candidates, each encoded here, once.

        It takes int64 numbers of queries, and returns their scores, a new float32 array
        `[these queries, candidates]`. They order candidates as `rank` does: they are similarities;
        of a linear head with one or two outputs and without abs_diff logits, which for two classes
        are log-odds; of another head what `score` gives.

        Args:
            queries: sequences of token ids, raw values or encodings, as `rank` takes candidates.
            candidates: of the other side, likewise.
            query_side: as for `rank`.
            class_index: as for `rank`.

        Raises:
            InputError: an argument is none of these.
            RecordError: as for `score`.

        >>> import o2v_jax
        >>> config = o2v_jax.Hyperparameters(
        ...     enc0_max_seq_len=8, enc0_vocab_size=50, enc_dim=16, mlp_dim=8)
        >>> scorer = o2v_jax.Scorer(o2v_jax.Model(config, o2v_jax.init(config)))
        >>> score = scorer.make_query_scorer([[4, 7], [5]], [[9], [1, 3], [2]])
        >>> score(np.array([0, 1])).shape
        (2, 3)
        """
        require_own_threads()
        require_choice("query_side", query_side, (0, 1), "0 (in0) or 1 (in1)")
        column = choose_class(self.config, class_index)
        one = self._encode(query_side, queries)
        many = self._encode(0 if query_side else 1, candidates)
        return make_query_scorer(self._executor, query_side, column, one, many)

    def warm_first(self, threads: int = 2) -> int:
        """Compiles those few programs that fit every call; returns how many.

        Until `warm` has ended, calls use these alone: slower, but none waits for a compilation.
        """
        require_own_threads()
        return self._warm_up.compile_first(threads)

    def warm(self, threads: int = 2, *, longer: bool = False) -> int:
        """Compiles every program that `preferred_mode` asks for; returns how many there are.

        Args:
            threads: compile at a time.
            longer: those for sequences above the model's max_seq_len as well, the others first.
        """
        require_instance("longer", longer, bool, "True or False")
        require_own_threads()
        return self._warm_up.compile_all(threads, longer=longer)

    def list_warm_keys(self) -> list[ProgramKey]:
        """Keys of the programs that `warm` compiles."""
        return self._warm_up.list_keys()

    @property
    def compiled(self) -> int:
        """Programs compiled so far, or loaded from the persistent cache."""
        return self._executor.programs.compiled

    @property
    def waits(self) -> int:
        """How often a call waited for a program to be compiled."""
        return self._executor.programs.waits

    @property
    def useful_tokens(self) -> int:
        """Tokens of the objects encoded so far."""
        return self._executor.useful_tokens

    @property
    def computed_tokens(self) -> int:
        """The same with padding."""
        return self._executor.computed_tokens

    def _encode(self, side: Literal[0, 1], objects: Any) -> Floats:
        """Encodings of ids or raw values, and encodings as they are."""
        rows = self.read_objects(side, objects)
        return self._executor.embed(side, rows) if isinstance(rows, Ragged) else rows

    def __reduce__(self) -> NoReturn:
        raise InputError(
            "a Scorer holds compiled programs and memory of a device, and does not pickle: "
            "give other processes the model, or its path, and make a Scorer in each"
        )


def _check_settings(
    model: Any, preferred_mode: Any, max_programs: Any, dtype: Any, device: Any, profile: Any
) -> None:
    require_instance("model", model, Model, "a Model, as `o2v_jax.load` returns")
    require_tokenizers(model.tokenizers)
    require_instance("class_names", model.class_names, tuple, "a tuple of names")
    modes = get_args(Mode)
    text = f"{' or '.join(modes)}, or None for both"
    require_choice("preferred_mode", preferred_mode, (None, *modes), text)
    require_choice("dtype", dtype, get_args(DType), f"one of {', '.join(get_args(DType))}")
    require_integer("max_programs", max_programs, 1)
    require_instance("device", device, (jax.Device, type(None)), "one of jax.devices(), or None")
    require_instance("profile", profile, (DeviceProfile, type(None)), "a DeviceProfile, or None")


def _make_read_only(params: Params) -> None:
    for leaf in jax.tree.leaves(params):
        if isinstance(leaf, np.ndarray):
            leaf.flags.writeable = False
