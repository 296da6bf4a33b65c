"""Batch transform: files of records -> files of results, as SageMaker does it, and nothing lost."""

from o2v_jax.transform.answers import Tally
from o2v_jax.transform.endpoints import Endpoints
from o2v_jax.transform.engine import Engine, Local, transformed
from o2v_jax.transform.job import Transform, digest_of
from o2v_jax.transform.reading import Part, Position, parts_of
from o2v_jax.transform.remote import Remote
from o2v_jax.transform.settings import FileSettings, Settings
from o2v_jax.transform.sources import Source, sources_of
from o2v_jax.transform.writing import Report

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
