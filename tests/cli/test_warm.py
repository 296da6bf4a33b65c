"""`o2v warm` fills the cache that the next process reads."""

import os
import re
import subprocess
import sys

import pytest

import o2v_jax

pytestmark = pytest.mark.process


def cached(directory):
    return {path.name for path in directory.iterdir() if path.name.endswith("-cache")}


def test_a_warm_cache_leaves_nothing_to_compile(model, tmp_path):
    """In processes of their own, because JAX opens its cache once in each."""
    command = [sys.executable, "-m", "o2v_jax", "warm", "--model", model]
    environment = os.environ | {"O2V_CACHE_DIR": str(tmp_path)}
    first = subprocess.check_output(command, env=environment, text=True)
    shapes = o2v_jax.Scorer(o2v_jax.load(model)).shapes
    programs = len(shapes.list_programs()) + len(shapes.list_on_demand())
    assert re.match(rf"{programs} programs in [0-9.]+ s, kept in {tmp_path}\n", first)
    kept = cached(tmp_path)
    assert len(kept) >= programs
    subprocess.check_call(command, env=environment, stdout=subprocess.DEVNULL)
    assert cached(tmp_path) == kept


def test_a_mode_leaves_out_what_it_does_not_need(o2v, model):
    everything, part = (
        int(o2v("warm", "--model", model, *options).out.split()[0])
        for options in ((), ("--mode", "embedding"))
    )
    assert 0 < part < everything


def test_another_mode_is_refused(o2v, model):
    refused = o2v("warm", "--model", model, "--mode", "both")
    assert refused.status == 2
    assert "'both' is not one of" in refused.err
