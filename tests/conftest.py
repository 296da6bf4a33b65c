"""Strict JAX for all tests, a compilation cache of their own, small models, and `o2v` to run."""

import gc
import io
import json
import logging
import os
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Programs of these tests, and of the processes that they start, run for moments, and compiling them
# takes most of the time: a quarter less so.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "true")
# XLA's older way to write the kernels of a CPU is compiled in half the time, and a program that is
# not split into parts for several threads in a sixth less.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
)

import jax
import numpy as np
import pytest
from hypothesis import settings

MAPPED = 15_000  # of 65,530; a compiled program takes several

# fixtures that start `o2v train`, a server, a new environment, or what a page of docs shows
_STARTING = {"bare", "open_page", "server", "shell", "start", "start_in", "trained", "wheel"}

# how long an example takes depends on the machine, and says nothing of the code
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
# four devices to share work; not through XLA_FLAGS, which the servers under test inherit
jax.config.update("jax_num_cpu_devices", 4)
# what commands use of them in this process, if not told otherwise
os.environ["O2V_TRAIN_DEVICES"] = os.environ["O2V_DEVICES"] = "1"


def pytest_configure(config):
    """Drops cached columns of earlier runs, which the code that is tested has not read."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(config.cache.mkdir("programs") / "data", ignore_errors=True)


def pytest_collection_modifyitems(items):
    """Marks the tests whose fixtures start processes."""
    for item in items:
        if not _STARTING.isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.process)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(pytestconfig):
    """Programs are compiled once, in a cache that is not the user's own.

    All runs share it, their workers, and the processes that they start: JAX's key of a program
    is what is compiled, with which options, and by which version.
    """
    from o2v_jax import use_compilation_cache  # noqa: PLC0415

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("O2V_CACHE_DIR", str(pytestconfig.cache.mkdir("programs")))
        use_compilation_cache()
        yield


@pytest.fixture(scope="module", autouse=True)
def _few_programs():
    """Lets go of compiled programs before the process has as many mapped files as Linux allows."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MAPPED:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def config_of():
    """A function of hyperparameters: a small configuration with these values."""
    return _config_of


@pytest.fixture(scope="session")
def model_of():
    """A function (configuration, seed) -> a model with random parameters."""
    return _model_of


def _config_of(**overrides):
    from o2v_jax import Hyperparameters  # noqa: PLC0415

    small = {
        "enc0_max_seq_len": 7,
        "enc0_vocab_size": 20,
        "enc0_token_embedding_dim": 8,
        "enc_dim": 8,
        "mlp_dim": 6,
        "num_classes": 3,
    }
    if overrides.get("enc1_network", "enc0") != "enc0":
        small |= {name.replace("enc0_", "enc1_"): value for name, value in small.items()}
    return Hyperparameters(**(small | overrides))


def _model_of(config, seed=0):
    """Unlike `o2v_jax.init`, every bias is random too, so that none can be left out unseen."""
    from o2v_jax import Model  # noqa: PLC0415
    from o2v_jax.checkpoint import nest  # noqa: PLC0415
    from o2v_jax.model import parameter_shapes  # noqa: PLC0415

    rng = np.random.default_rng(seed)
    shapes = parameter_shapes(config)
    return Model(config, nest({name: _random(rng, name, shape) for name, shape in shapes.items()}))


def _random(rng, name, shape):
    inputs = 1 if name.startswith("embed") else np.prod(shape[:-1], initial=1)
    return rng.normal(0.0, 1.0 / np.sqrt(inputs), shape).astype(np.float32)


class Result(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """Lines on standard error, but for the one about names that are ignored on purpose."""
        return [line for line in self.err.splitlines() if "ignored" not in line]

    @property
    def rows(self) -> list:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture(scope="session")
def shell():
    """A folder that holds a program `o2v`, for the PATH of scripts."""
    from forked_shell import open_shell  # noqa: PLC0415

    with open_shell() as folder:
        yield folder


@pytest.fixture
def o2v(monkeypatch, capfd):
    """Runs `o2v ARGUMENTS` in this process, with bytes as standard input."""
    from o2v_jax.cli import main  # noqa: PLC0415

    def run(*arguments: object, stdin: bytes = b"") -> Result:
        monkeypatch.setattr(sys, "argv", ["o2v", *map(str, arguments)])
        monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "o2v_jax", *map(str, arguments)])
        given = io.BufferedReader(io.BytesIO(stdin))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(given))
        capfd.readouterr()
        logger = logging.getLogger("o2v_jax")
        handlers, level = [*logger.handlers], logger.level
        with pytest.raises(SystemExit) as stopped:
            main()
        # the command's own writes to a stream that ends with this test; pytest listens at the root
        logger.handlers, logger.propagate = handlers, True
        logger.setLevel(level)
        out, err = capfd.readouterr()
        return Result(int(stopped.value.code or 0), out, err)

    return run


@pytest.fixture
def compilations():
    """A list that gains an item for every program that JAX compiles during the test."""
    seen = []

    def listen(event, seconds, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(seconds)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield seen
    jax.monitoring.unregister_event_duration_listener(listen)


def pytest_make_parametrize_id(val, argname):
    """Compressed bytes hold the time, but processes that share the tests must name them alike."""
    return argname if isinstance(val, bytes) and not val.isascii() else None
