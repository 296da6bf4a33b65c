"""`o2v inspect` shows what the model is and what serves it."""

import re
import shutil

import o2v_jax
from o2v_jax.checkpoint import flatten


def test_json_describes_the_model(o2v, model):
    import json  # noqa: PLC0415

    described = json.loads(o2v("inspect", "--model", model, "--json").out)
    arrays = flatten(o2v_jax.load(model).params)
    assert {row["name"]: tuple(row["shape"]) for row in described["parameters"]} == {
        name: array.shape for name, array in arrays.items()
    }
    assert described["parameter_count"] == sum(array.size for array in arrays.values())
    assert described["bytes"] == 4 * described["parameter_count"]
    scorer = o2v_jax.Scorer(o2v_jax.load(model))
    assert described["programs"] == len(scorer.list_warm_keys())
    assert sum(len(row["batches"]) for row in described["buckets"]) == described["programs"]
    assert described["metrics"]["test"]["accuracy"] > 0.5


def test_tables_for_people(o2v, model):
    out = o2v("inspect", "--model", model).out
    for words in ("embed_0.weight", "20x16", "batch sizes", "programs at warm-up", "best_epoch"):
        assert words in out


def test_markup_in_names_is_only_text(o2v, model, tmp_path):
    odd = tmp_path / "z[/x]:dog:"
    shutil.copytree(model, odd)
    shown = o2v("inspect", "--model", odd)
    assert shown.status == 0, shown.err
    assert "z[/x]:dog:" in shown.out.replace("\n", "")


def test_help_has_whole_sentences(o2v):
    for command in ("prepare", "tune", "score", "embed", "evaluate", "inspect"):
        (line,) = re.findall(rf"^ +{command} .*$", o2v("--help").out, re.MULTILINE)
        assert line.endswith(".")
        assert not line.endswith("...")


def test_help_and_version(o2v):
    assert o2v("--version").out.strip().endswith(o2v_jax.__version__)
    for command in ("serve", "train", "score", "embed", "evaluate", "inspect"):
        assert command in o2v("--help").out
