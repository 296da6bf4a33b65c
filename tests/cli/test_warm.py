"""`o2v warm` fills the cache that the next process reads."""

import os
import re

import pytest
from forked import Command

import o2v_jax

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def model(config_of, model_of, tmp_path_factory):
    """A model of two tokens at most, which has few programs."""
    config = config_of(enc0_network="pooled_embedding", enc0_max_seq_len=2)
    return o2v_jax.save(model_of(config), tmp_path_factory.mktemp("models") / "short")


def cached(directory):
    return {path.name for path in directory.iterdir() if path.name.endswith("-cache")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of a cache that is empty at first."""
    return tmp_path_factory.mktemp("cache")


def warm(model, folder):
    """In a process of its own, because JAX opens its cache once in each."""
    environment = os.environ | {"O2V_CACHE_DIR": str(folder)}
    command = Command("warm", "--model", model, environment=environment)
    output, errors = command.communicate(timeout=120)
    assert command.returncode == 0, errors
    return output


@pytest.fixture(scope="module")
def first(model, folder):
    """What the first command printed."""
    return warm(model, folder)


def test_a_warm_cache_leaves_nothing_to_compile(model, folder, first):
    shapes = o2v_jax.Scorer(o2v_jax.load(model)).shapes
    programs = len(shapes.list_programs()) + len(shapes.list_on_demand())
    assert re.match(rf"{programs} programs in [0-9.]+ s, kept in {folder}\n", first)
    kept = cached(folder)
    assert len(kept) >= programs
    warm(model, folder)
    assert cached(folder) == kept


def test_a_mode_leaves_out_what_it_does_not_need(o2v, model, first):
    part = o2v("warm", "--model", model, "--mode", "embedding").out
    assert 0 < int(part.split()[0]) < int(first.split()[0])


def test_another_mode_is_refused(o2v, model):
    refused = o2v("warm", "--model", model, "--mode", "both")
    assert refused.status == 2
    assert "'both' is not one of" in refused.err
