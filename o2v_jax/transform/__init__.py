"""Batch transform, as SageMaker does it: files of records in, files of results out."""

from o2v_jax.extras import require_extra

require_extra("transform", __name__)

from o2v_jax.transform.engines.base import Engine
from o2v_jax.transform.engines.endpoint import Remote
from o2v_jax.transform.engines.endpoint_pool import Endpoints
from o2v_jax.transform.engines.local import Local, transform_part
from o2v_jax.transform.job import Transform
from o2v_jax.transform.read.parts import Part, Position, read_parts
from o2v_jax.transform.read.sources import Source, find_sources
from o2v_jax.transform.settings import FileSettings, TransformSettings
from o2v_jax.transform.write.answers import RecordCounts
from o2v_jax.transform.write.outputs import TransformReport

__all__ = [
    "Endpoints",
    "Engine",
    "FileSettings",
    "Local",
    "Part",
    "Position",
    "RecordCounts",
    "Remote",
    "Source",
    "Transform",
    "TransformReport",
    "TransformSettings",
    "find_sources",
    "read_parts",
    "transform_part",
]
