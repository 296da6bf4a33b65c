"""Batch transform: files of records -> files of results, as SageMaker does it, and nothing lost."""

from o2v_jax.extras import require_extra

require_extra("transform", __name__)

from o2v_jax.transform.engines.endpoint import Remote
from o2v_jax.transform.engines.endpoint_pool import Endpoints
from o2v_jax.transform.engines.local import Engine, Local, transformed
from o2v_jax.transform.job import Transform, digest_of
from o2v_jax.transform.read.parts import Part, Position, parts_of
from o2v_jax.transform.read.sources import Source, sources_of
from o2v_jax.transform.settings import FileSettings, Settings
from o2v_jax.transform.write.answers import Tally
from o2v_jax.transform.write.outputs import Report

__all__ = [
    "Endpoints",
    "Engine",
    "FileSettings",
    "Local",
    "Part",
    "Position",
    "Remote",
    "Report",
    "Settings",
    "Source",
    "Tally",
    "Transform",
    "digest_of",
    "parts_of",
    "sources_of",
    "transformed",
]
