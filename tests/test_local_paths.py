"""Wherever a path is expected a URL is refused, and nothing is written under its name."""

import re
from pathlib import Path

import pytest

import o2v_jax
from o2v_jax.cache_directory import cache_directory
from o2v_jax.checkpoint import check_model_target, default_model
from o2v_jax.data.vocabulary import Vocabulary, read_json_object
from o2v_jax.errors import InputError
from o2v_jax.preparation import Preparation, Side, read_prepared
from o2v_jax.server.run import serve
from o2v_jax.server.settings import ServerSettings
from o2v_jax.training import Job, make_container_job, read_dataset
from o2v_jax.training.data.pretrained import read_pretrained
from o2v_jax.transform import Transform, TransformSettings, find_sources
from o2v_jax.tuning import Tuning
from serving.app import create_app

URL = "s3://bucket/folder"
HERE = Path("here")
WORDS = Vocabulary({"<unk>": 1, "a": 2})


def prepared(**paths):
    side = Side("a", vocabulary=paths.pop("vocabulary", None))
    return Preparation(**{"files": (HERE,), "sides": (side, side), "output": HERE} | paths)


def job(kind, config, **paths):
    files = {"train": (HERE,), "validation": (HERE,), "output": HERE}
    return kind(**{"base" if kind is Tuning else "config": config}, **files | paths)


def path_settings(kind, *names):
    """A function for each path of a job."""
    many = {"train", "validation", "test", "files", "validation_files", "test_files"}
    given = ({name: (Path(URL),) if name in many else Path(URL)} for name in names)
    if kind is Preparation:
        return {f"Preparation {[*paths]}": lambda _, p=paths: prepared(**p) for paths in given}
    return {
        f"{kind.__name__} {[*p]}": lambda model, p=p: job(kind, model.config, **p) for p in given
    }


FILES = ("train", "validation", "test", "auxiliary", "cache", "output")
CALLS = {
    "Index.load": lambda model: o2v_jax.Index.load(URL, model),
    "Index.build": lambda model: o2v_jax.Index.build(model, [[1]], output=URL, class_index=1),
    "ItemTable": lambda _: o2v_jax.ItemTable(URL, "a"),
    "load": lambda _: o2v_jax.load(URL),
    "load Path": lambda _: o2v_jax.load(Path(URL)),
    "save": lambda model: o2v_jax.save(model, URL),
    "check_model_target": lambda _: check_model_target(URL),
    "pack from": lambda _: o2v_jax.pack(URL, HERE),
    "pack to": lambda _: o2v_jax.pack(HERE, URL),
    "use_compilation_cache": lambda _: o2v_jax.use_compilation_cache(URL),
    "Vocabulary.read": lambda _: Vocabulary.read(URL),
    "Vocabulary.write": lambda _: WORDS.write(URL),
    "read_json_object": lambda _: read_json_object(URL),
    "read_dataset": lambda model: read_dataset([Path(URL)], model.config, cache=HERE),
    "read_dataset cache": lambda model: read_dataset([HERE], model.config, cache=Path(URL)),
    "container_job": lambda _: make_container_job(Path(URL)),
    "read_pretrained": lambda model: read_pretrained(model.config, Path(URL)),
    "sources_of": lambda _: find_sources([URL], HERE),
    "sources_of to": lambda _: find_sources([], Path(URL)),
    "Transform": lambda _: Transform([], Path(URL), TransformSettings(), None),
    "read_prepared": lambda _: read_prepared(Path(URL)),
    "default_model": lambda _: default_model({"O2V_MODEL": URL}),
    "server settings": lambda _: ServerSettings.from_environment({"O2V_MODEL": URL}),
    "serve": lambda _: serve(URL),
    "create_app": lambda _: create_app(URL),
    **path_settings(Job, *FILES, "checkpoints", "report"),
    **path_settings(Tuning, *FILES),
    **path_settings(Preparation, "files", "validation_files", "test_files", "output", "vocabulary"),
}


@pytest.fixture(scope="module")
def model(config_of, model_of):
    return model_of(config_of())


@pytest.mark.parametrize("call", CALLS)
def test_no_function_takes_a_url_for_a_path(call, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"^{re.escape(URL)} is a URL, but a path on this"):
        CALLS[call](model)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["O2V_CACHE_DIR", "XDG_CACHE_HOME"])
def test_no_variable_holds_a_url_for_a_path(name, monkeypatch):
    monkeypatch.setenv(name, URL)
    with pytest.raises(InputError, match=rf"^{name}: {URL} is a URL, but a path"):
        cache_directory()
