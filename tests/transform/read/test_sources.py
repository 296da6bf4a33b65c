"""Which files inputs name, and where their results go."""

from pathlib import Path

import pytest

from o2v_jax.errors import InputError
from o2v_jax.transform import find_sources


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("in/b.jsonl", "in/a.jsonl", "in/deep/er/c.json", "in/.hidden", "in/.git/x", "d.x"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(name)
    return tmp_path


def targets(*inputs):
    return [(str(s.path), str(s.target)) for s in find_sources(inputs, Path("out"))]


def test_a_folder_keeps_its_tree(tree):
    assert targets("in") == [
        ("in/a.jsonl", "a.jsonl.out"),
        ("in/b.jsonl", "b.jsonl.out"),
        ("in/deep/er/c.json", "deep/er/c.json.out"),
    ]


def test_files_keep_their_names(tree):
    assert targets("d.x", "in/a.jsonl") == [("d.x", "d.x.out"), ("in/a.jsonl", "a.jsonl.out")]


def test_globs_keep_the_tree_below_their_first_wildcard(tree):
    assert targets("in/*.jsonl") == [("in/a.jsonl", "a.jsonl.out"), ("in/b.jsonl", "b.jsonl.out")]
    assert ("in/deep/er/c.json", "deep/er/c.json.out") in targets("in/**/*.json")
    assert targets("*/a.jsonl") == [("in/a.jsonl", "in/a.jsonl.out")]


def test_results_are_no_inputs_of_a_glob(tree):
    for name in ("in/a.jsonl.out", "in/out/b.jsonl.out"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("")
    found = [str(s.path) for s in find_sources(["in/**/*.*"], Path("in/out"))]
    assert found == ["in/a.jsonl", "in/a.jsonl.out", "in/b.jsonl", "in/deep/er/c.json"]
    assert "in/a.jsonl.out" not in [str(s.path) for s in find_sources(["in/*.*"], Path("in"))]


def test_no_output_replaces_an_input(tree):
    Path("in/a.jsonl.out").write_text("")
    with pytest.raises(InputError, match=r"in/a.jsonl.out: would replace an input"):
        find_sources(["in/a.jsonl", "in/a.jsonl.out"], Path("in"))


def test_a_linked_folder_has_to_be_named(tree):
    Path("in/link").symlink_to("deep", target_is_directory=True)
    with pytest.raises(InputError, match="in/link: is a link to a folder: name it as an input"):
        find_sources(["in"], Path("out"))


def test_a_name_with_wildcards_that_exists_is_a_name(tree):
    Path("odd[1].jsonl").write_text("")
    assert targets("odd[1].jsonl") == [("odd[1].jsonl", "odd[1].jsonl.out")]


@pytest.mark.parametrize(
    ("inputs", "output", "message"),
    [
        (["no.jsonl"], "out", r"no.jsonl: cannot be read \(No such file"),
        (["no*.jsonl"], "out", r"no\*.jsonl: matches no file"),
        (["in/.git/y*"], "out", "matches no file"),
        (["in", "in/a.jsonl"], "out", "several inputs would be written to out/a.jsonl.out"),
        (["in"], "in/out", "in/out: lies within the input in"),
        (["in"], "in", "lies within the input in"),
        (["in"], "in/deep/../out", "lies within the input in"),
        (["in"], "linked/out", "linked/out: lies within the input in"),
        ([""], "out", "an input is an empty text"),
        (["x.d"], "out", "out/a.out: would be the results of a file and a folder of others"),
    ],
)
def test_refusals(tree, inputs, output, message):
    Path("linked").symlink_to("in", target_is_directory=True)
    for name in ("x.d/a", "x.d/a.out/b"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("")
    with pytest.raises(InputError, match=message):
        find_sources(inputs, Path(output))


def test_what_cannot_be_read_is_among_the_files_of_a_glob(tree):
    Path("in/gone.jsonl").symlink_to("nothing")
    assert ("in/gone.jsonl", "gone.jsonl.out") in targets("in/*.jsonl")
    with pytest.raises(InputError, match=r"in/gone.jsonl: cannot be read \(No such file"):
        targets("in/gone.jsonl")


def test_an_empty_folder_is_refused(tree):
    Path("empty").mkdir()
    with pytest.raises(InputError, match="empty: holds no file"):
        find_sources(["empty"], Path("out"))
