"""The scorer of a transform."""

from o2v_jax.checkpoint import Model
from o2v_jax.limits import DType, Mode
from o2v_jax.scoring import Scorer, machine_of

# None of them for few pairs: of many records more lengths fill batches of their own, and nobody
# waits for programs that are compiled when first needed.
PROGRAMS = 80


def scorer_of(model: Model, *, mode: Mode | None = None, dtype: DType = "float32") -> Scorer:
    """The same scorer in one process and in workers: results depend on shapes in the last digits.

    Raises:
        InputError: see `Scorer`.
    """
    machine = machine_of()._replace(few=())
    return Scorer(model, preferred_mode=mode, max_programs=PROGRAMS, dtype=dtype, machine=machine)
