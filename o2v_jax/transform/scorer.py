"""The scorer of a transform."""

from o2v_jax.checkpoint import Model
from o2v_jax.limits import DType, Mode
from o2v_jax.scoring import Scorer, machine_of


def scorer_of(model: Model, *, mode: Mode | None = None, dtype: DType = "float32") -> Scorer:
    """The same scorer in one process and in workers: results depend on shapes in the last digits.

    Of many records more lengths fill batches of their own, and few pairs never come alone.

    Raises:
        InputError: see `Scorer`.
    """
    machine = machine_of()._replace(few=())
    return Scorer(model, preferred_mode=mode, dtype=dtype, machine=machine)
