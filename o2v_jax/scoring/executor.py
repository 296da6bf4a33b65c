"""The network in padded shapes: rows are planned into batches, and results undo the plan."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from types import TracebackType
from typing import Self

import jax
import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Floats, Index
from o2v_jax.data.deduplicate import AnyRagged, deduplicate_rows, expand_rows
from o2v_jax.data.ragged import Ragged
from o2v_jax.scoring.buckets import BucketTable, PaddedBatch, plan
from o2v_jax.scoring.programs import Program, ProgramKey, ProgramTable
from o2v_jax.scoring.schedule import Capacity, Slice, plan_slices
from o2v_jax.scoring.shapes import ShapeTable, find_fused_shape
from o2v_jax.scoring.streams import Stream
from o2v_jax.scoring.weights import Weights


class ResultFetcher:
    """Writes results, as they come to the host, where they belong in `out`.

    The device works on the next results while one is fetched; at most `max_in_flight` are started,
    so that memory does not grow with their number. All are there when the block ends.
    """

    def __init__(self, out: Floats, max_in_flight: int) -> None:
        self._out = out
        self._max_in_flight = max_in_flight
        self._started: deque[tuple[Index, jax.Array]] = deque()

    def __enter__(self) -> Self:
        return self

    def add(self, rows: Index, result: jax.Array) -> None:
        """Has these rows of `out` filled with the first ones of a result."""
        result.copy_to_host_async()
        self._started.append((rows, result))
        if len(self._started) > self._max_in_flight:
            self._fetch()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        while self._started and error is None:
            self._fetch()

    def _fetch(self) -> None:
        rows, result = self._started.popleft()
        # to the host first: a cut on the device would compile once per size
        self._out[rows] = np.asarray(result)[: len(rows)]


class Executor:
    """Encodes and compares on the device, in those shapes that are in use.

    Encodings stay there, in tables: ids go to the device and scores come back. Records are taken in
    slices whose objects fit the tables: while the device works on one, the host prepares the next.
    What repeats within a slice is encoded once; `DistinctRows` are not searched for repetitions.
    A few short pairs take one fused program instead, without tables. Ids are not checked here: all
    are in the vocabulary.

    Attributes:
        shapes: in use; the whole table at first.
        weights: on the device.
        programs: by shape.
        useful_tokens: encoded so far.
        computed_tokens: the same with padding.
    """

    def __init__(self, shapes: ShapeTable, weights: Weights) -> None:
        self.shapes = shapes
        self.weights = weights
        self.programs = ProgramTable(
            [*shapes.list_programs(), *shapes.list_on_demand()], self._compile
        )
        self.useful_tokens = self.computed_tokens = 0
        self._profile = shapes.profile
        self._max_fused = max(shapes.profile.fused_batches, default=0)
        self._encoder_names = shapes.encoder_names
        self._capacity = _measure_capacity(shapes, weights.enc_dim)
        self._free: list[list[Stream]] = []
        self._counting = Lock()

    def score(self, in0: AnyRagged, in1: AnyRagged) -> Floats:
        """Scores of pairs, float32 `[pairs, outputs]`."""
        if len(in0) <= self._max_fused:
            pairs = expand_rows(in0), expand_rows(in1)
            shape = find_fused_shape(pairs, self.shapes)
            if shape is not None:
                return self._score_fused(*pairs, *shape)
        out = np.empty((len(in0), self.weights.outputs), np.float32)
        with self._fetch_into(out) as fetcher:
            for start, tables, at in self._encode_slices(len(in0), [(0, in0), (1, in1)]):
                for batch, rows in _split_rows(at, self.shapes.head):
                    head = self.programs["head", batch.batch, 1]
                    fetcher.add(start + batch.rows, head(self.weights.head, tables, rows))
        return out

    def embed(self, side: int, rows: AnyRagged) -> Floats:
        """Encodings, float32 `[rows, enc_dim]`."""
        out = np.empty((len(rows), self.weights.enc_dim), np.float32)
        with self._fetch_into(out) as fetcher:
            for start, tables, at in self._encode_slices(len(rows), [(side, rows)]):
                for batch, (in_tables,) in _split_rows(at, self.shapes.fetch):
                    take = self.programs["rows", batch.batch, 1]
                    fetcher.add(start + batch.rows, take(tables, in_tables))
        return out

    def encode(self, side: int, rows: Ragged) -> tuple[Floats, Index]:
        """Encodings of the distinct rows, and for every row the number of its encoding."""
        distinct = deduplicate_rows(rows)
        return self.embed(side, distinct.rows), distinct.inverse

    def compare(self, enc0: Floats, row0: Index, enc1: Floats, row1: Index) -> Floats:
        """Scores, float32 `[pairs, outputs]`, of pairs of rows of two arrays of encodings."""
        out = np.empty((len(row0), self.weights.outputs), np.float32)
        with ResultFetcher(out, self._profile.max_in_flight) as fetcher:
            for batch in plan(np.ones(len(row0), np.int64), self.shapes.head):
                one = _take_padded(enc0, row0[batch.rows], batch.batch)
                two = _take_padded(enc1, row1[batch.rows], batch.batch)
                head = self.programs["arrays", batch.batch, 1]
                fetcher.add(batch.rows, head(self.weights.head, one, two))
        return out

    def _score_fused(self, in0: Ragged, in1: Ragged, batch: int, length: int) -> Floats:
        """Scores of a few pairs, by one program of this shape."""
        score = self.programs["pairs", batch, length]
        one, two = map(self.weights.get_encoder, (0, 1))
        ids = in0.pad(batch, length), in1.pad(batch, length)
        self._count(len(in0.ids) + len(in1.ids), 2 * batch * length)
        return np.array(np.asarray(score(one, two, self.weights.head, *ids))[: len(in0)])

    def _encode_slices(
        self, records: int, given: list[tuple[int, AnyRagged]]
    ) -> Iterator[tuple[int, tuple[jax.Array, ...], npt.NDArray[np.int32]]]:
        """Yields for each slice its first record's number, the tables, and what `_fill` returns.

        The tables are valid until the next slice is asked for.
        """
        tables, start_cost = self.shapes.extended, self._profile.stream_start_cost
        for part in plan_slices(slice(0, records), given, tables, self._capacity, start_cost):
            with self._take_streams() as streams:
                at = self._fill(streams, part)
                yield part.start, tuple(stream.encodings for stream in streams), at

    def _fill(self, streams: list[Stream], given: Slice) -> npt.NDArray[np.int32]:
        """Encodes into the tables; returns for each side of every record its row of them."""
        in_tables = {side.side: np.empty(len(side.rows), np.int32) for side in given.sides}
        for stream in streams:
            stream.next_row = self.weights.first_row
        for objects, batch, slot in given.batches:
            first = slot.stream * self._capacity.rows + slot.row
            in_tables[objects.side][batch.rows] = np.arange(first, first + len(batch.rows))
            ids = objects.rows.pad(batch.batch, batch.length, batch.rows)
            encode = self.programs[self._encoder_names[objects.side], batch.batch, batch.length]
            streams[slot.stream].run(encode, *self.weights.get_encoder(objects.side), ids)
        for stream in streams:
            stream.wait()
        self._count(
            sum(len(side.rows.ids) for side in given.sides),
            sum(batch.batch * batch.length for _, batch, _ in given.batches),
        )
        return np.stack([in_tables[objects.side][objects.inverse] for objects in given.sides])

    def _count(self, useful: int, computed: int) -> None:
        with self._counting:
            self.useful_tokens += useful
            self.computed_tokens += computed

    @contextmanager
    def _fetch_into(self, out: Floats) -> Iterator[ResultFetcher]:
        """Fetches results into `out`; after an error, which shows late, drops all free tables."""
        try:
            with ResultFetcher(out, self._profile.max_in_flight) as fetcher:
                yield fetcher
        except BaseException:
            self._free.clear()
            raise

    @contextmanager
    def _take_streams(self) -> Iterator[list[Stream]]:
        """Streams that no other call uses. After an error they are dropped: tables may be gone."""
        try:
            streams = self._free.pop()
        except IndexError:
            streams = [self._make_stream(number) for number in range(self._capacity.streams)]
        yield streams
        self._free.append(streams)

    def _make_stream(self, number: int) -> Stream:
        table = self.weights.make_table(self._capacity.rows)
        return Stream(table, in_thread=number > 0 and self._profile.stream_threads)

    def _compile(self, key: ProgramKey) -> Program:
        part, batch, length = key
        if part == "arrays":
            return self.weights.compile_compare(batch)
        if part == "head":
            return self.weights.compile_compare_rows(*self._capacity, batch)
        if part == "pairs":
            return self.weights.compile_score_pairs(batch, length)
        if part == "rows":
            return self.weights.compile_take_rows(*self._capacity, batch)
        side = self._encoder_names.index(part)
        return self.weights.compile_encode(self._capacity.rows, side, batch, length)


def _measure_capacity(shapes: ShapeTable, enc_dim: int) -> Capacity:
    """As the device profile allows, but at least a batch of each side fits, however large."""
    streams = shapes.profile.streams
    largest = max(batch for table in shapes.extended for batch, _ in table.shapes())
    least = max(largest, -(-2 * largest // streams))
    return Capacity(streams, max(least, shapes.profile.table_numbers // streams // enc_dim))


def _take_padded(table: Floats, rows: Index, batch: int) -> Floats:
    """The given rows of a table, and zeros up to `batch` of them."""
    out = np.empty((batch, table.shape[1]), np.float32)
    # unlike a plain index, this writes into `out` at once; all rows are in range
    table.take(rows, axis=0, out=out[: len(rows)], mode="clip")
    out[len(rows) :] = 0
    return out


def _split_rows(
    at: npt.NDArray[np.int32], table: BucketTable
) -> Iterator[tuple[PaddedBatch, npt.NDArray[np.int32]]]:
    """Batches of records, each with its rows `[sides, batch]` in the tables of encodings."""
    for batch in plan(np.ones(at.shape[1], np.int64), table):
        rows = np.zeros((len(at), batch.batch), np.int32)
        rows[:, : len(batch.rows)] = at[:, batch.rows]
        yield batch, rows
