"""Warm-up: which programs are compiled ahead of time, and which shapes are in use meanwhile."""

from o2v_jax.arguments import require_integer
from o2v_jax.constants import Mode
from o2v_jax.scoring.buckets import precompute_costs
from o2v_jax.scoring.executor import Executor
from o2v_jax.scoring.programs import ProgramKey


class WarmUp:
    """Compiles the programs of an executor.

    Args:
        executor: its shapes at this moment are those that will be in use when all is compiled.
        mode: what is needed; None: everything.
    """

    def __init__(self, executor: Executor, mode: Mode | None) -> None:
        self._executor = executor
        self._shapes = executor.shapes
        self._mode = mode
        self._is_warm = False

    def list_keys(self) -> list[ProgramKey]:
        """Keys of the programs that `compile_all` compiles, without those for longer sequences."""
        return self._select_needed(self._shapes.list_programs())

    def compile_first(self, threads: int) -> int:
        """Compiles the few programs that every call fits, and uses only these; returns how many."""
        first = self._shapes.make_first()
        count = self._compile(first.list_programs(), threads)
        if not self._is_warm:
            self._executor.shapes = first
        return count

    def compile_all(self, threads: int, *, longer: bool) -> int:
        """Compiles every program, and uses all shapes; returns how many programs there are.

        Args:
            threads: compile at a time.
            longer: those for sequences above the model's max_seq_len as well, the others first.
        """
        shapes = self._shapes
        count = self._compile(shapes.list_programs(), threads)
        for table in (*shapes.extended, shapes.head, shapes.fetch):
            precompute_costs(table)
        self._executor.shapes = shapes
        self._is_warm = True
        return count + (self._compile(shapes.list_on_demand(), threads) if longer else 0)

    def _compile(self, keys: list[ProgramKey], threads: int) -> int:
        threads = require_integer("threads", threads, 1)
        needed = self._select_needed(keys)
        self._executor.programs.warm(needed, threads)
        return len(needed)

    def _select_needed(self, keys: list[ProgramKey]) -> list[ProgramKey]:
        return [key for key in keys if self._mode != "embedding" or key[0] != "head"]
