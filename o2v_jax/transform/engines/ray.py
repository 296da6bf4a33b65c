"""Results by workers of Ray, each a process with a device of its own; parts go to free ones."""

import logging
import os
import queue
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from types import ModuleType
from typing import Any

from o2v_jax.checkpoint import Model
from o2v_jax.constants import DType, Mode
from o2v_jax.data.warnings import DataWarnings
from o2v_jax.errors import InputError
from o2v_jax.transform.engines.base import PartResults, Step
from o2v_jax.transform.engines.ray_cluster import Share
from o2v_jax.transform.engines.ray_worker import Piece, Worker
from o2v_jax.transform.prefetch import map_in_order
from o2v_jax.transform.read.parts import Part
from o2v_jax.transform.settings import FileSettings

log = logging.getLogger("o2v_jax")

RESTARTS, RETRIES = 100, 30  # of a worker, and of a part whose workers die
_TIMEOUT_S = 30.0


class OnRay:
    """Workers with the same model.

    A worker that dies is started again by Ray, and the part that it had is done again.

    Args:
        ray: connected.
        model: computes; it goes into Ray's object store once.
        identity: of the model.
        share: how many workers there are, and what each gets.
        mode: leave out what this mode does not need.
        dtype: what the encoders hold and multiply.
        concurrent: parts that each worker is given at a time; it works on one of them.
    """

    knows_model = True

    def __init__(
        self,
        ray: ModuleType,
        model: Model,
        identity: str,
        share: Share,
        *,
        mode: Mode | None = None,
        dtype: DType = "float32",
        concurrent: int = 2,
    ) -> None:
        self.identity = identity
        self._ray = ray
        self._share = share
        self._most = share.workers * concurrent
        self._notices = DataWarnings(model.config)
        self._failed = set[int]()
        self._useful = self._computed = 0
        # workers that can be given a part, each as often; None ends a wait
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._concurrent = concurrent
        self._waited = False
        self._model = [ray.put(model)]  # in a list, it is fetched only by workers without it
        self._workers = self._start_workers(mode, dtype)

    @property
    def padding(self) -> float | None:
        """The share of the computed tokens that was padding; None if there were none."""
        return 1 - self._useful / self._computed if self._computed else None

    def split_work(
        self, part: Part, name: str, settings: FileSettings, *, skip: bool
    ) -> Iterator[Any]:
        """The part as it is: workers read it."""
        yield part, name, settings, skip

    def compute(self, steps: Iterable[Step]) -> Generator[tuple[Step, PartResults | None]]:
        """Gives parts to workers while others are at work; a step has results in several pieces.

        Raises:
            InputError: Ray gave up.
        """
        most = self._most
        begun = map_in_order(self._run_step, steps, ahead=most, threads=most, stop=self._stop)
        try:
            with closing(begun):
                for step, pieces in begun:
                    if pieces is None:
                        yield step, None
                        continue
                    for piece in pieces:
                        yield step, self._note_piece(piece.future().result(), step.number)
        except self._ray.exceptions.RayError as error:
            raise InputError(
                f"Ray gave up ({_summarize_error(error)}); what is done is kept: "
                "the same command resumes"
            ) from error

    def _start_workers(self, mode: Mode | None, dtype: DType) -> list[Any]:
        actor = self._ray.remote(Worker).options(
            num_cpus=self._share.cpus,
            num_gpus=self._share.gpus,
            max_restarts=RESTARTS,
            max_task_retries=RETRIES,
            runtime_env={"env_vars": _make_environment()},
        )
        workers = [actor.remote(mode, dtype) for _ in range(self._share.workers)]
        for worker in workers:
            ready = worker.ready.remote(self._model).future()
            ready.add_done_callback(lambda done, worker=worker: self._mark_ready(worker, done))
        return workers

    def _mark_ready(self, worker: Any, done: Any) -> None:
        error = done.exception()
        for _ in range(self._concurrent):
            self._free.put(error or worker)

    def _run_step(self, step: Step) -> tuple[Step, Any]:
        """The step, and its results once they are complete."""
        if step.work is None or step.number in self._failed:
            return step._replace(work=None), None
        worker = self._take()
        try:
            pieces = worker.transform.remote(self._model, *step.work)
            self._ray.get(pieces.completed())
        finally:
            self._free.put(worker)
        return step._replace(work=None), pieces

    def _take(self) -> Any:
        while True:
            try:
                worker = self._free.get(timeout=_TIMEOUT_S)
            except queue.Empty:
                self._log_waiting()
                continue
            if worker is None:
                raise InputError("stopped")
            if isinstance(worker, Exception):
                raise worker
            self._waited = True
            return worker

    def _log_waiting(self) -> None:
        if not self._waited:
            self._waited = True
            log.info("waiting for Ray to find %g CPUs and %d GPUs for a worker", *self._share[1:])

    def _note_piece(self, piece: Piece, number: int) -> Piece:
        self._useful += piece.useful_tokens
        self._computed += piece.computed_tokens
        for notice in piece.notices:
            self._notices.warn(*notice)
        if piece.error is not None:
            self._failed.add(number)  # parts behind it need not be computed
        return piece

    def _stop(self) -> None:
        for _ in range(self._most):
            self._free.put(None)
        for worker in self._workers:
            self._ray.kill(worker)


def _make_environment() -> dict[str, str]:
    """Gives workers as many threads as this process: XLA's last digits depend on their number."""
    threads = os.environ.get("PJRT_NPROC") or str(len(os.sched_getaffinity(0)))
    platforms = os.environ.get("JAX_PLATFORMS")
    return {"PJRT_NPROC": threads} | ({"JAX_PLATFORMS": platforms} if platforms else {})


def _summarize_error(error: Exception) -> str:
    """The first line of what Ray says."""
    cause = getattr(error, "cause", None)
    said = str(error) if cause is None else f"{type(cause).__name__}: {cause}"
    return said.strip().partition("\n")[0] or type(error).__name__
