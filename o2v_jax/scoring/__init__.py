"""From ragged ids to host arrays: padded shapes, compiled programs, the Scorer."""

from o2v_jax.devices import local_devices
from o2v_jax.scoring.compiler import use_compilation_cache
from o2v_jax.scoring.ranking import Ranking
from o2v_jax.scoring.scorer import Scorer
from o2v_jax.scoring.shapes import Layout, layout, layout_of, machine_of

__all__ = [
    "Layout",
    "Ranking",
    "Scorer",
    "layout",
    "layout_of",
    "local_devices",
    "machine_of",
    "use_compilation_cache",
]
