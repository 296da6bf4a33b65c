"""An index on disk: it is whole or refused, with everything that is wrong."""

import json
import re

import msgspec
import numpy as np
import pytest

import o2v_jax
from o2v_jax import CheckpointError, Index, InputError
from o2v_jax.retrieval.files import INDEX_FILES, IndexInfo, VectorFile, hash_info

KEYS = ["one", "two", "three", "four"]


@pytest.fixture
def folder(model, scorer, encodings, tmp_path):
    Index.build(model, encodings(4), keys=KEYS, output=tmp_path / "index", scorer=scorer)
    return tmp_path / "index"


@pytest.fixture
def load(model, scorer, folder):
    """Loads the index, or raises what is wrong with it."""
    return lambda **options: Index.load(folder, model, scorer=scorer, **options)


def edit(folder, **changes):
    info = json.loads((folder / "index.json").read_bytes())
    (folder / "index.json").write_text(json.dumps(info | changes))


def forge(folder, **changes):
    """As `edit`, with the digest that belongs to the changed entries."""
    edit(folder, **changes, sha256="")
    info = msgspec.json.decode((folder / "index.json").read_bytes(), type=IndexInfo)
    edit(folder, sha256=hash_info(info))


def test_a_loaded_index_is_the_one_that_was_built(model, scorer, folder, load, encodings):
    built, loaded = Index.build(model, encodings(4), keys=KEYS, scorer=scorer), load()
    assert loaded.info.count == len(loaded) == 4
    assert str(folder) in repr(loaded)
    for one, other in zip(built.search(encodings(3)), loaded.search(encodings(3)), strict=True):
        assert one.keys == other.keys
        np.testing.assert_array_equal(one.scores, other.scores)
    assert {path.name for path in folder.iterdir()} == {*INDEX_FILES} - {"graph.usearch"}


def test_vectors_stay_on_the_disk(load):
    assert isinstance(load()._searcher.vectors, np.memmap)


def test_an_index_is_replaced_while_it_is_in_use(model, scorer, folder, load, encodings):
    before = load()
    after = Index.build(model, encodings(2, seed=1), output=folder, scorer=scorer)
    assert len(load()) == len(after) == 2
    assert before.search(encodings(1), 1)[0].keys == ["one"]
    assert after.search(encodings(1, seed=1), 1)[0].keys == [0]


@pytest.mark.parametrize(
    ("break_it", "problem"),
    [
        (lambda f: (f / "vectors.npy").unlink(), "vectors.npy is missing"),
        (lambda f: _cut(f / "vectors.npy"), r"vectors.npy has 255 bytes, but 256 were .*cut off"),
        (lambda f: _flip(f / "vectors.npy"), "vectors.npy is not the file that was written"),
        (lambda f: _flip(f / "keys.arrow"), "keys.arrow is not the file that was written"),
        (lambda f: _cut(f / "keys.arrow"), "keys.arrow has .* bytes, but .* were written"),
        (lambda f: (f / "index.json").unlink(), "holds no index.json: an index is a directory"),
        (lambda f: _cut(f / "index.json", 9), "index.json is wrong: Input data was truncated"),
        (lambda f: edit(f, format="o2v_jax"), 'format must be "o2v_jax index", but it is'),
        (lambda f: edit(f, format_version=2), "format version 2 is unknown: this release"),
        (lambda f: edit(f, model_sha256="0" * 64), "is of another model .SHA-256 000000000000"),
        (lambda f: edit(f, side="in2"), r"index.json is wrong: Invalid enum value 'in2'"),
        (lambda f: edit(f, more=1), "index.json is wrong: .*unknown field `more`"),
        (lambda f: edit(f, count=5), r"holds float32 \[4, 8\], but index.json says .*\[5, 8\]"),
        (lambda f: edit(f, count=5), "keys.arrow holds 4 rows of string, but .* 5 of string"),
        (lambda f: edit(f, key_type="int64"), "keys.arrow holds 4 rows of string"),
        (lambda f: forge(f, metric="linear"), "index.json is wrong: metric must be cosine, of 8"),
        (lambda f: edit(f, side="in0"), "index.json is not the file .*: an entry was altered"),
        (lambda f: edit(f, count=0), "index.json is wrong: Expected `int` >= 1"),
        (lambda f: edit(f, files={}), "index.json does not name keys.arrow; .*vectors.npy"),
        (lambda f: edit(f, expansion=64), "index.json does not name graph.usearch"),
        (lambda f: forge(f, class_index=1), "index.json is wrong: class_index must be below 1"),
    ],
)
def test_what_is_wrong_is_said(folder, load, break_it, problem):
    break_it(folder)
    with pytest.raises(CheckpointError, match=problem) as refused:
        load()
    assert str(refused.value).startswith(f"{folder}: ")


def test_everything_that_is_wrong_is_said_at_once(folder, load):
    edit(folder, model_sha256="1" * 64)
    _cut(folder / "vectors.npy")
    _flip(folder / "keys.arrow")
    with pytest.raises(CheckpointError) as refused:
        load()
    assert len(refused.value.problems) == 3


def test_without_verifying_sizes_alone_are_checked(folder, load):
    _flip(folder / "vectors.npy")
    assert len(load(verify=False)) == 4
    _cut(folder / "vectors.npy")
    with pytest.raises(CheckpointError, match="cut off"):
        load(verify=False)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing", "nothing: does not exist: an index is a directory"),
        ("file", "file: is a file: an index is a directory"),
        ("empty", "empty: holds no index.json: an index is a directory"),
    ],
)
def test_what_is_no_index_is_refused(model, scorer, tmp_path, path, message):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=message):
        Index.load(tmp_path / path, model, scorer=scorer)
    with pytest.raises(InputError, match="s3://b/index is a URL, but a path on this machine"):
        Index.load("s3://b/index", model, scorer=scorer)


def test_an_index_of_another_model_is_refused(head_of, folder):
    with pytest.raises(CheckpointError, match="is of another model"):
        Index.load(folder, head_of("cosine", seed=1))
    with pytest.raises(CheckpointError, match="is of another model"):
        Index.load(folder, head_of("inner product"))


def test_nothing_else_is_replaced(model, scorer, encodings, tmp_path):
    (tmp_path / "notes").touch()
    with pytest.raises(
        CheckpointError, match=re.escape("holds other things than an index (notes)")
    ):
        Index.build(model, encodings(3), output=tmp_path, scorer=scorer)
    with pytest.raises(CheckpointError, match="is a file, but an index is a directory"):
        Index.build(model, encodings(3), output=tmp_path / "notes", scorer=scorer)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_a_failed_build_leaves_the_former_index(model, scorer, folder, load, encodings):
    wrong = encodings(5000)
    wrong[-1] = np.nan
    with pytest.raises(o2v_jax.RecordError, match="item 4999: its encoding holds NaN"):
        Index.build(model, wrong, output=folder, scorer=scorer)
    assert len(load()) == 4
    assert [path.name for path in folder.parent.iterdir()] == ["index"]


def test_a_file_of_vectors_grows(tmp_path, encodings):
    with VectorFile(tmp_path / "v.npy", 8) as file:
        for _ in range(3):
            file.append(encodings(5))
    np.testing.assert_array_equal(np.load(tmp_path / "v.npy"), np.tile(encodings(5), (3, 1)))


def _cut(file, count=1):
    file.write_bytes(file.read_bytes()[:-count])


def _flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
