"""No command takes a URL for a path, in options, arguments or environment variables."""

import click
import pytest

from o2v_jax.cli import cli
from o2v_jax.cli.options import LocalPath
from o2v_jax.cli.training_data import expand_files, expand_paths

URL = "s3://bucket/folder"


def takes_patterns(param):
    return param.name == "inputs" or param.callback in (expand_files, expand_paths)


PATHS = [
    (name, param)
    for name, command in cli.commands.items()
    for param in command.params
    if isinstance(param.type, click.Path) or takes_patterns(param)
]


def test_every_path_is_a_local_one():
    kinds = {type(param.type) for _, param in PATHS if not takes_patterns(param)}
    assert kinds == {LocalPath}
    assert len(PATHS) > 30


@pytest.mark.parametrize(("command", "param"), PATHS, ids=lambda value: str(value)[-40:])
def test_a_url_is_refused_and_shown_as_typed(o2v, command, param, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    needed = {
        "index": ["--column", "a"],
        "prepare": ["--in0", "a", "--in1", "b"],
        "transform": ["--output", "out", "here"],
    }
    given = [URL] if isinstance(param, click.Argument) else [param.opts[0], URL]
    run = o2v(command, *needed.get(command, []), *given)
    assert (run.status, len(run.err.splitlines())) == (2, 1)
    assert f"{URL} is a URL, but a path on this machine is expected" in run.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("O2V_MODEL", ["score", "--text", "a", "b"]),
        ("O2V_SCORE_MODEL_PATH", ["score", "--text", "a", "b"]),
        ("O2V_CACHE_DIR", ["warm"]),
        ("XDG_CACHE_HOME", ["warm"]),
        ("O2V_MODEL", ["serve"]),
    ],
)
def test_nor_in_the_environment(o2v, name, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("O2V_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv(name, URL)
    run = o2v(*arguments)
    assert run.status == 2
    assert f"{URL} is a URL, but a path on this machine is expected" in run.err
    assert {path.name for path in tmp_path.iterdir()} <= {"o2v_jax"}  # the cache
