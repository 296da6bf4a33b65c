"""The wheel, installed where neither the checkout nor the extras are."""

import json
import os
import socket
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import urllib3
from bare_environment import create_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from urllib3.util import Retry

import o2v_jax
from o2v_jax.cli import cli
from o2v_jax.extras import EXTRAS, require_extra

pytestmark = pytest.mark.process

REPOSITORY = Path(o2v_jax.__file__).parents[1]
COMMANDS = sorted(cli.commands)
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
IN0, IN1 = [[1, 2, 3]], [[4, 5, 6]]
SCORE = """
import json, sys
import numpy as np
import o2v_jax
model = o2v_jax.load(sys.argv[1])
in0, in1 = json.loads(sys.argv[2])
scores = o2v_jax.Scorer(model).score(in0, in1)
pure = o2v_jax.score_fn(model.config)(model.params, np.array(in0), np.array(in1))
print(json.dumps([o2v_jax.__file__, scores.tolist(), pure.tolist()]))
"""
EVALUATE = """
import json, sys
import o2v_jax
found = o2v_jax.evaluate(o2v_jax.load(sys.argv[1]), *json.loads(sys.argv[2]), [1])
print(found.metrics["cross_entropy"])
found.write("report")
"""
OF_THE_EXTRAS = """
from importlib.util import find_spec
from o2v_jax.cli import cli
from o2v_jax.extras import EXTRAS
print(*sorted({name for names in EXTRAS.values() for name in names if find_spec(name)}))
"""
SPLIT = "from o2v_jax.data.text_tokenizers import split_words; split_words('a')"
# what others wrote is not looked at: only whether this package's own types are found
MYPY = """
[mypy]
strict = true
[mypy-click.*,flax.*,jax.*,jaxtyping.*,msgspec.*,numpy.*,orjson.*,rich.*,safetensors.*]
follow_imports = skip
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--quiet", "--wheel-dir", folder, REPOSITORY], check=True)
    (file,) = folder.iterdir()
    return file


@pytest.fixture(scope="module")
def elsewhere():
    """The variables of a process that is told nothing of the checkout."""
    ours = ("PYTHON", "O2V_", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"O2V_CACHE_DIR": os.environ["O2V_CACHE_DIR"]}


@pytest.fixture(scope="module")
def bare(wheel, elsewhere, tmp_path_factory):
    """Runs a program of an environment that has the core alone, outside the checkout."""
    folder = tmp_path_factory.mktemp("bare")
    programs = create_environment(folder / "environment", wheel).parent

    def run(program, *arguments, check=False, stdin=""):
        return subprocess.run(
            [programs / program, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=folder,
            env=elsewhere,
            check=check,
        )

    return run


@pytest.fixture(scope="module")
def model(config_of, model_of, tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "model"
    o2v_jax.save(model_of(config_of()), folder)
    return folder


def test_the_wheel_holds_the_package_alone(wheel):
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    described = f"o2v_jax-{o2v_jax.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"o2v_jax", described}
    package = REPOSITORY / "o2v_jax"
    sources = {str(path.relative_to(REPOSITORY)) for path in package.rglob("*.py")}
    assert {name for name in names if name.startswith("o2v_jax/")} == sources | {
        "o2v_jax/__init__.pyi",
        "o2v_jax/evaluation/ranking_report.html",
        "o2v_jax/evaluation/report.html",
        "o2v_jax/evaluation/report_base.html",
        "o2v_jax/py.typed",
    }


def test_the_version_is_told_once(wheel, bare):
    assert wheel.name.split("-")[1] == o2v_jax.__version__
    assert bare("o2v", "--version", check=True).stdout.endswith(f" {o2v_jax.__version__}\n")


def test_the_core_scores(bare, model):
    expected = o2v_jax.Scorer(o2v_jax.load(model)).score(IN0, IN1)
    done = bare("python", "-c", SCORE, model, json.dumps([IN0, IN1]))
    assert done.returncode == 0, done.stderr
    home, scored, pure = json.loads(done.stdout)
    assert "site-packages" in home
    assert scored == pytest.approx(expected, abs=1e-6)
    assert pure == pytest.approx(expected, abs=1e-6)


def test_the_core_has_a_command_that_scores(bare, model):
    record = json.dumps({"in0": IN0[0], "in1": IN1[0]})
    done = bare("o2v", "score", "--model", model, stdin=record)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout).keys() == {"scores"}


def test_the_core_has_nothing_of_the_extras_but_what_jax_and_flax_need(bare):
    found = set(bare("python", "-c", OF_THE_EXTRAS, check=True).stdout.split())
    assert found <= {"optax", "orbax", "prometheus_client", "scipy"}


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_every_command_has_help_without_its_extra(bare, command):
    done = bare("o2v", *command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: ")


DATA = "nltk, tokenizers, narwhals, pyarrow"
TRAIN = f"{DATA}, huggingface_hub, jinja2, matplotlib"


@pytest.mark.parametrize(
    ("arguments", "missing", "extra"),
    [
        (
            ("evaluate",),
            TRAIN,
            "train",
        ),
        (
            ("prepare", "--in0=a", "--in1=b", "--output=c"),
            "nltk, tokenizers, narwhals, pyarrow",
            "data",
        ),
        (("index", "a", "--column=b", "--output=c"), DATA, "data"),
        (("search", "--index=a", "b"), DATA, "data"),
        (("serve",), "nltk, tokenizers, flask, granian", "serve"),
        (
            ("train", "--train=a"),
            TRAIN,
            "train",
        ),
        (
            ("transform", "a", "--content-type=application/json"),
            "tokenizers, jsonpath, pyarrow",
            "transform",
        ),
        (
            ("tune",),
            f"{TRAIN}, optuna",
            "tune",
        ),
    ],
)
def test_a_command_says_which_extra_is_missing(bare, arguments, missing, extra):
    done = bare("o2v", *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"o2v: o2v {arguments[0]} needs ")
    assert missing in line
    assert line.endswith(
        f": install the extra [{extra}] of o2v_jax, from a checkout: pip install '.[{extra}]'"
    )


@pytest.mark.parametrize(
    ("code", "user", "extra"),
    [
        ("import o2v_jax.preparation", "o2v_jax.preparation", "data"),
        ("import o2v_jax.retrieval", "o2v_jax.retrieval", "data"),
        ("import o2v_jax.server.run", "o2v_jax.server.run", "serve"),
        ("import o2v_jax.training", "o2v_jax.training", "train"),
        ("import o2v_jax.transform", "o2v_jax.transform", "transform"),
        ("import o2v_jax.tuning", "o2v_jax.tuning", "tune"),
        ("import o2v_jax; o2v_jax.Vocabulary({}).encode('a')", "splitting a text", "text"),
        (SPLIT, "splitting a text into tokens needs tokenizers", "text"),
    ],
)
def test_so_does_a_package_that_is_imported(bare, code, user, extra):
    done = bare("python", "-c", code)
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith(f"o2v_jax.errors.MissingExtraError: {user}")
    assert f"[{extra}]" in error


def test_the_core_measures_a_model_and_says_what_a_report_needs(bare, model):
    done = bare("python", "-c", EVALUATE, model, json.dumps([IN0, IN1]))
    assert done.returncode == 1
    assert 0 < float(done.stdout) < 100
    error = done.stderr.splitlines()[-1]
    assert "an evaluation report needs jinja2, matplotlib: install the extra [train]" in error


def test_a_missing_extra_is_an_import_error():
    with pytest.raises(ImportError, match="x needs no_such_module: install the extra"):
        require_extra("data", "x", "json", "no_such_module")


def test_the_server_needs_no_checkout(wheel, model, elsewhere, tmp_path):
    programs = create_environment(tmp_path / "environment", wheel, ["serve"]).parent
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [programs / "o2v", "serve", "--model", model, "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, env=elsewhere) as server:
        try:
            reply = _ask_when_ready(port, {"instances": [{"in0": IN0[0], "in1": IN1[0]}]})
        finally:
            server.terminate()
    expected = o2v_jax.Scorer(o2v_jax.load(model)).score(IN0, IN1)
    assert reply["predictions"][0]["scores"] == pytest.approx(expected[0], abs=1e-6)
    assert server.returncode == 0


def _ask_when_ready(port, body):
    """The server's answer to a request that is repeated until there is a server."""
    headers = {"Content-Type": "application/json"}
    retries = Retry(
        None,
        backoff_factor=0.2,
        backoff_max=0.5,
        connect=200,
        status=200,
        allowed_methods=None,
        status_forcelist=[503],
    )
    url = f"http://127.0.0.1:{port}/invocations"
    return urllib3.request("POST", url, json=body, headers=headers, retries=retries).json()


def test_no_model_is_found_outside_the_checkout(bare):
    done = bare("o2v", "score")
    assert done.returncode == 2
    assert "o2v: no model: " in done.stderr
    assert "give --model" in done.stderr


def test_types_are_told(bare, tmp_path):
    (tmp_path / "code.py").write_text("import o2v_jax\n\nreveal_type(o2v_jax.load)\n")
    (tmp_path / "mypy.ini").write_text(MYPY)
    python = bare("python", "-c", "import sys; print(sys.executable)", check=True).stdout.strip()
    command = [sys.executable, "-m", "mypy", "--python-executable", python, "code.py"]
    shown = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert shown.returncode == 0, shown.stdout
    assert "-> o2v_jax.checkpoint.model.Model" in shown.stdout


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_code_names_what_the_extras_bring(extra):
    distributions = packages_distributions()
    brought = {
        canonicalize_name(name) for module in EXTRAS[extra] for name in distributions[module]
    }
    assert brought == set(_required(extra))


def test_all_has_what_every_extra_brings():
    assert {*_required("all")} == {name for extra in EXTRAS for name in _required(extra)}


def _required(extra):
    """The distributions that an extra names, those of the extras that it includes too."""
    for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
        if requirement.name == "o2v_jax":
            for included in requirement.extras:
                yield from _required(included)
        else:
            yield canonicalize_name(requirement.name)
