"""JAX's settings for a process change no result, or are refused in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from jax_settings import find_results

import o2v_jax

pytestmark = pytest.mark.process

HERE = Path(__file__).parent
NETWORK = "pooled_embedding"
# what a run under each of these must give is what it gives under none of them
SETTINGS = [
    (
        "JAX_ENABLE_X64=1 JAX_DEFAULT_PRNG_IMPL=rbg JAX_DEBUG_NANS=1 "
        "JAX_DEFAULT_MATMUL_PRECISION=highest JAX_NUMPY_DTYPE_PROMOTION=strict default_device"
    ),
    "JAX_DISABLE_JIT=1 JAX_DEFAULT_PRNG_IMPL=unsafe_rbg",
]
COMMANDS = """
import json, sys
from o2v_jax.cli import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["o2v", *arguments]
    try:
        main()
    except SystemExit as stopped:
        print(stopped.code)
"""
# Each scenario runs in a child of its own: all is imported once, before JAX has started anything.
FORKED = """
import os, jax, numpy as np, o2v_jax
from o2v_jax.checkpoint import nest
from o2v_jax.model import parameter_shapes
from o2v_jax import InputError, Model, Scorer, init, score_fn
config = o2v_jax.Hyperparameters(
    enc0_max_seq_len=4, enc0_vocab_size=9, enc_dim=4, enc0_network="pooled_embedding"
)
shapes = parameter_shapes(config).items()
params = nest({name: np.ones(shape, np.float32) for name, shape in shapes})
ids = np.ones((1, 2), np.int32)

def count_refused(*calls):
    if os.fork():
        return os.waitstatus_to_exitcode(os.wait()[1])
    refused = 0
    for call in calls:
        try:
            call()
        except InputError as error:
            refused += "was forked" in str(error)
    os._exit(refused)

def after_init():
    init(config)
    return count_refused(lambda: init(config))

def after_score_fn():
    jax.jit(score_fn(config))(params, ids, ids)
    return count_refused(lambda: init(config))

def after_a_scorer():
    model = Model(config, params)
    scorer = Scorer(model, max_programs=24)
    return count_refused(
        lambda: scorer.score([[1]], [[2]]), lambda: scorer.embed(in0=[[1]]), scorer.warm,
        lambda: scorer.rank([1], [[2]], 1), lambda: Scorer(model),
    )

for scenario in (after_init, after_score_fn, after_a_scorer):
    if not os.fork():
        os._exit(scenario())
    print(scenario.__name__, os.waitstatus_to_exitcode(os.wait()[1]))
"""


def run(*command, setting=""):
    given = dict(word.split("=") for word in setting.split() if "=" in word)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    # what runs for a moment is not worth optimizing
    quick = {"JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "true"}
    environment = plain | quick | given
    command = [sys.executable, *map(str, command)]
    options = {"env": environment, "capture_output": True, "text": True, "timeout": 300}
    return subprocess.run(command, check=False, **options)


@pytest.fixture(scope="module")
def expected():
    """What this process gives, in which none of these is set."""
    return find_results(NETWORK)


@pytest.mark.parametrize("setting", SETTINGS)
def test_results_are_the_same_under_every_setting(setting, expected, tmp_path):
    words = [word for word in setting.split() if "=" not in word]
    done = run(HERE / "jax_settings.py", tmp_path, NETWORK, *words, setting=setting)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == expected.keys()
    for name, (kinds, values) in found.items():
        assert (name, kinds) == (name, ["float32"])
        np.testing.assert_allclose(values, expected[name][1], rtol=1e-4, atol=1e-5, err_msg=name)


def test_a_platform_that_is_not_there_is_one_line_in_every_command(tmp_path):
    data, names = tmp_path / "d.jsonl", tmp_path / "h.json"
    data.write_text('{"in0": [3], "in1": [4], "label": 1}\n{"in0": [5], "in1": [6], "label": 0}\n')
    small = {"enc0_max_seq_len": "4", "enc0_vocab_size": "20", "enc_dim": "8", "epochs": "1"}
    names.write_text(json.dumps(small))
    output = [*("--output", str(tmp_path / "out")), *("--cache", str(tmp_path / "cache"))]
    training = ["--train", str(data), "--hyperparameters", str(names), *output]
    commands = [
        ["score", str(data)],
        ["embed", "--side", "in0", str(data)],
        ["evaluate", str(data)],
        ["warm"],
        ["train", *training],
    ]
    for platform, given in (("cuda", commands), ("nonsense", commands[:1])):
        done = run("-c", COMMANDS, json.dumps(given), setting=f"JAX_PLATFORMS={platform}")
        assert done.stdout.split() == ["2"] * len(given), done.stderr
        said = [line for line in done.stderr.splitlines() if line.startswith("o2v: JAX finds")]
        assert len(said) == len(given), done.stderr
        assert f"JAX_PLATFORMS={platform}" in said[0]
        assert "Traceback" not in done.stderr


def test_a_wrong_value_of_a_variable_of_jax_is_one_line():
    done = run("-c", COMMANDS, json.dumps([["warm"]]), setting="JAX_ENABLE_X64=maybe")
    assert (done.stdout.split(), done.stderr.count("\n")) == (["2"], 1)
    assert "JAX_ENABLE_X64" in done.stderr


@pytest.fixture(scope="module")
def refused():
    """For each scenario how many calls a forked child was refused."""
    done = run("-c", FORKED)
    assert done.returncode == 0, done.stderr
    return dict(line.split() for line in done.stdout.splitlines())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("scenario", ["after_init", "after_score_fn"])
def test_a_child_of_a_process_that_used_no_scorer_is_told(refused, scenario):
    assert refused[scenario] == "1"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_after_jax_started_is_told_and_does_not_hang(refused):
    assert refused["after_a_scorer"] == "5"


def test_another_compilation_cache_is_used_from_then_on(tmp_path):
    import jax  # noqa: PLC0415

    before = getattr(jax.config, "jax_compilation_cache_dir", None)
    try:
        for number, name in enumerate(("one", "two")):
            o2v_jax.use_compilation_cache(tmp_path / name)
            jax.jit(lambda x, n=number: x * (n + 2))(np.float32(1)).block_until_ready()
            assert any((tmp_path / name).iterdir())
    finally:
        o2v_jax.use_compilation_cache(before)
