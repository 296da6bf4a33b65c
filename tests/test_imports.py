"""Imports go one way, and the outermost commands start without JAX."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import o2v_jax

REPOSITORY = Path(o2v_jax.__file__).parents[1]
CONTENTS = ast.parse((REPOSITORY / "o2v_jax" / "__init__.pyi").read_text()).body
# name -> the module that the table of contents takes it from
HOMES = {
    alias.name: f"o2v_jax.{node.module}"
    for node in CONTENTS
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
# a package imports from itself and from the layers above its own line
LAYERS = [
    {"o2v_jax.array_types", "o2v_jax.constants", "o2v_jax.errors"},
    {"o2v_jax.staging", "o2v_jax.util"},
    {
        "o2v_jax.arguments",
        "o2v_jax.atomic",
        "o2v_jax.cache_directory",
        "o2v_jax.devices",
        "o2v_jax.extras",
        "o2v_jax.memory",
        "o2v_jax.progress",
        "o2v_jax.signals",
    },
    {"o2v_jax.hyperparameters", "o2v_jax.plotting"},
    {"o2v_jax.data"},
    {"o2v_jax.model"},
    {"o2v_jax.checkpoint"},
    {"o2v_jax.scoring", "o2v_jax.preparation"},
    {"o2v_jax.evaluation", "o2v_jax.retrieval", "o2v_jax.training", "o2v_jax.transform"},
    {"o2v_jax.tuning", "o2v_jax.server"},
    {"serving"},
    {"bench", "o2v_jax.cli"},
    {"o2v_jax.__main__"},
]
LEVEL = {package: level for level, layer in enumerate(LAYERS) for package in layer}
SOURCES = [
    path
    for folder in ("o2v_jax", "serving", "bench")
    for path in sorted((REPOSITORY / folder).rglob("*.py"))
    if path != REPOSITORY / "o2v_jax" / "__init__.py"
]


def module_name(path):
    parts = path.relative_to(REPOSITORY).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module):
    """The entry of the table that a module belongs to; its top level name if there is none."""
    parts = module.split(".")
    return next((name for n in (2, 1) if (name := ".".join(parts[:n])) in LEVEL), parts[0])


def imported(source):
    """Every module that a source imports anywhere, names of `o2v_jax` itself looked through."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (_home(node.module, alias.name) for alias in node.names)


def _home(module, name):
    if module != "o2v_jax":
        return module
    return HOMES.get(name, f"o2v_jax.{name}")


def forbidden(module, source):
    own = package_of(module)
    for other in map(package_of, imported(source)):
        if other in LEVEL and other != own and LEVEL[other] >= LEVEL[own]:
            yield other
        if other == "flask" and own.startswith("o2v_jax"):
            yield other


def test_every_source_stands_in_a_layer():
    assert len(SOURCES) > 40
    assert {package_of(module_name(path)) for path in SOURCES} <= set(LEVEL)


@pytest.mark.parametrize("path", SOURCES, ids=module_name)
def test_imports_go_one_way(path):
    assert list(forbidden(module_name(path), path.read_text())) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("o2v_jax.data.ragged", "from o2v_jax.scoring.shapes import choose_model_shapes"),
        ("o2v_jax.model.hcnn", "from o2v_jax import Scorer"),
        ("o2v_jax.scoring.shapes", "def f():\n    import serving.app"),
        ("o2v_jax.data", "if TYPE_CHECKING:\n    from o2v_jax.model import init"),
        ("o2v_jax.scoring.scorer", "from o2v_jax.training import Run"),
        ("o2v_jax.checkpoint", "from flask import Flask"),
        ("o2v_jax.server.run", "def f():\n    from serving.app import create_app"),
        ("o2v_jax.server.asgi", "from flask import Flask"),
        ("serving.app", "from o2v_jax.cli import main"),
    ],
)
def test_the_check_sees_what_is_forbidden(module, source):
    assert list(forbidden(module, source))


def test_serving_never_imports_training():
    for path in SOURCES:
        if module_name(path).startswith(("serving", "o2v_jax.server")):
            assert "o2v_jax.training" not in map(package_of, imported(path.read_text()))


@pytest.mark.process
@pytest.mark.parametrize("module", ["o2v_jax", "o2v_jax.cli", "o2v_jax.server.settings"])
def test_imports_neither_jax_nor_flax_nor_flask(module):
    code = f"import sys, {module}; print({{'jax', 'flax', 'flask'}} & set(sys.modules))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout.strip() == "set()"


@pytest.mark.process
def test_the_server_needs_no_flask():
    code = "import sys, o2v_jax.server.asgi, o2v_jax.server.loading, o2v_jax.server.run"
    command = [sys.executable, "-c", f"{code}; sys.exit('flask' in sys.modules)"]
    subprocess.run(command, check=True, cwd=REPOSITORY)


def test_the_table_of_contents_names_what_it_has():
    assert set(o2v_jax.__all__) == set(dir(o2v_jax)) == set(HOMES)
    for name, home in HOMES.items():
        assert getattr(o2v_jax, name) is getattr(import_module(home), name)
    with pytest.raises(AttributeError, match="nothing"):
        _ = o2v_jax.nothing
