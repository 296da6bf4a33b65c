"""Numbers are compared as users compute them: with all of XLA's optimizations."""

import jax
import pytest


@pytest.fixture(scope="module", autouse=True)
def _optimized():
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)
