"""JAX's settings for a process change no result, or are refused in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import o2v_jax

pytestmark = pytest.mark.process

HERE = Path(__file__).parent
# what a run under each of these must give is what it gives under none of them
SETTINGS = [
    "JAX_ENABLE_X64=1 JAX_DEFAULT_PRNG_IMPL=rbg JAX_DEBUG_NANS=1",
    "JAX_DISABLE_JIT=1 JAX_DEFAULT_PRNG_IMPL=unsafe_rbg",
    "JAX_DEFAULT_MATMUL_PRECISION=highest JAX_NUMPY_DTYPE_PROMOTION=strict default_device",
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
FORKED = """
import os, sys, jax, numpy as np, o2v_jax
config = o2v_jax.Hyperparameters(
    enc0_max_seq_len=4, enc0_vocab_size=9, enc_dim=4, enc0_network="pooled_embedding"
)
model = o2v_jax.Model(config, jax.device_get(o2v_jax.init(config)))
scorer = o2v_jax.Scorer(model, max_programs=24)
calls = [
    lambda: scorer.score([[1]], [[2]]), lambda: scorer.embed(in0=[[1]]), scorer.warm,
    lambda: scorer.rank([1], [[2]], 1), lambda: o2v_jax.Scorer(model),
]
if os.fork() == 0:
    refused = 0
    for call in calls:
        try:
            call()
        except o2v_jax.InputError as error:
            refused += "was forked" in str(error)
    os._exit(refused)
print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


def run(*command, setting=""):
    given = dict(word.split("=") for word in setting.split() if "=" in word)
    plain = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment = plain | {"JAX_PLATFORMS": "cpu"} | given
    command = [sys.executable, *map(str, command)]
    options = {"env": environment, "capture_output": True, "text": True, "timeout": 300}
    return subprocess.run(command, check=False, **options)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What the script gives under a setting."""
    cache = tmp_path_factory.mktemp("cache")

    def under(setting):
        words = [word for word in setting.split() if "=" not in word]
        done = run(HERE / "jax_settings.py", cache, "pooled_embedding", *words, setting=setting)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return under


@pytest.fixture(scope="module")
def expected(results):
    return results("")


@pytest.mark.parametrize("setting", SETTINGS)
def test_results_are_the_same_under_every_setting(setting, results, expected):
    for name, (kinds, values) in results(setting).items():
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
    for platform in ("cuda", "nonsense"):
        done = run("-c", COMMANDS, json.dumps(commands), setting=f"JAX_PLATFORMS={platform}")
        assert done.stdout.split() == ["2"] * len(commands), done.stderr
        said = [line for line in done.stderr.splitlines() if line.startswith("o2v: JAX finds")]
        assert len(said) == len(commands), done.stderr
        assert f"JAX_PLATFORMS={platform}" in said[0]
        assert "Traceback" not in done.stderr


def test_a_wrong_value_of_a_variable_of_jax_is_one_line():
    done = run("-c", COMMANDS, json.dumps([["warm"]]), setting="JAX_ENABLE_X64=maybe")
    assert (done.stdout.split(), done.stderr.count("\n")) == (["2"], 1)
    assert "JAX_ENABLE_X64" in done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize(
    "start",
    ["o2v_jax.init(config)", "o2v_jax.score_fn(config)(params, np.ones((1, 2), 'i'), [[1]])"],
    ids=["init", "score_fn"],
)
def test_a_child_of_a_process_that_used_no_scorer_is_told(start):
    first = FORKED.partition("model =")[0]
    prepared = "params = jax.device_get(o2v_jax.init(config))\n" * ("params" in start)
    child = "    o2v_jax.init(config)\n"
    code = (
        f"{first}{prepared}{start}\nif os.fork() == 0:\n  try:\n{child}"
        "  except o2v_jax.InputError as error:\n    os._exit('was forked' in str(error))\n"
        "print(os.waitstatus_to_exitcode(os.wait()[1]))"
    )
    done = run("-c", code)
    assert done.stdout.strip() == "1", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_was_forked_after_jax_started_is_told_and_does_not_hang():
    done = run("-c", FORKED)
    assert done.stdout.strip() == "5", done.stderr


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
