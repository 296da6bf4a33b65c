"""Quick compilation: nearly all of the time of these tests is XLA's."""

import jax
import pytest


@pytest.fixture(scope="package", autouse=True)
def _quick_compilation():
    """XLA need not optimise what runs for a moment."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
