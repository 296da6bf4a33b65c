"""From ragged ids to host arrays: padded shapes, compiled programs, the Scorer."""

from o2v_jax.devices import local_devices
from o2v_jax.scoring.compiler import use_compilation_cache
from o2v_jax.scoring.device_profile import DeviceProfile, get_device_profile
from o2v_jax.scoring.ranking import Ranking, choose_class
from o2v_jax.scoring.scorer import Scorer
from o2v_jax.scoring.shapes import ShapeTable, choose_model_shapes, choose_shapes

__all__ = [
    "DeviceProfile",
    "Ranking",
    "Scorer",
    "ShapeTable",
    "choose_class",
    "choose_model_shapes",
    "choose_shapes",
    "get_device_profile",
    "local_devices",
    "use_compilation_cache",
]
