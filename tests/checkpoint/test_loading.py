"""Reading a model directory: all that is wrong with it is said at once."""

import json
import shutil
from contextlib import suppress

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from o2v_jax.checkpoint import flatten, load, pack, save
from o2v_jax.data.text_tokenizers import TextTokenizer
from o2v_jax.data.vocabulary import Vocabulary
from o2v_jax.errors import CheckpointError, InputError
from o2v_jax.model import parameter_shapes
from o2v_jax.server.run import _require_model
from o2v_jax.util import hash_file

EMBEDDING = "embed_0.weight"
EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def problems_of(path):
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))
    return caught.value.problems


def edit(directory, **changes):
    """Changes keys of config.json; None deletes one."""
    path = directory / "config.json"
    document = json.loads(path.read_bytes()) | changes
    path.write_text(json.dumps({k: v for k, v in document.items() if v is not None}))


def edit_hyperparameters(directory, **changes):
    """Changes strings of the hyperparameters."""
    document = json.loads((directory / "config.json").read_bytes())
    edit(directory, hyperparameters=document["hyperparameters"] | changes)


def edit_params(directory, **changes):
    """Changes arrays, keeping the checksum right; None deletes one."""
    path = directory / "params.safetensors"
    arrays = load_file(path) | changes
    save_file({name: array for name, array in arrays.items() if array is not None}, path)
    edit(directory, params_sha256=hash_file(path))


def test_parameters_come_back_writable_float32_and_in_shape(saved):
    model = load(saved)
    arrays = flatten(model.params)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    assert {name: array.shape for name, array in arrays.items()} == parameter_shapes(model.config)
    assert all(array.flags.writeable for array in arrays.values())


def test_a_cpu_uses_the_parameters_where_they_were_read(saved):
    """A table of gigabytes is in memory once, not once more on the device."""
    for array in flatten(load(saved).params).values():
        on_device = jax.device_put(array, jax.devices("cpu")[0])
        assert on_device.unsafe_buffer_pointer() == array.ctypes.data


TEXT = {"kind": "text", "vocabulary": "vocab.json", "tokenizer": "treebank", "lowercase": True}
BPE = {"kind": "text", "vocabulary": "tokenizer.json", "tokenizer": "bpe"}
LARGE = {"kind": "text", "vocabulary": "tokenizer0.json", "tokenizer": "word"}
WORD = TextTokenizer.word_level(Vocabulary({"<unk>": 1, "a": 5000}))
FORMAT_1 = {
    "format_version": 1,
    "inputs": None,
    "tokenizer": {"name": "treebank", "lowercase": True},
}
# Each entry: what is done to a good directory, and the one problem it makes.
MISMATCHES = {
    "no config": (lambda d: (d / "config.json").unlink(), "config.json is missing"),
    "no params": (lambda d: (d / "params.safetensors").unlink(), "params.safetensors is missing"),
    "no vocabulary": (lambda d: (d / "vocab.json").unlink(), "vocab.json is missing"),
    "no inputs": (lambda d: edit(d, inputs=None), "there is a vocab.json, but no input names it"),
    "a second vocabulary": (
        lambda d: (d / "vocab0.json").write_text("{}"),
        "there is a vocab0.json, but no input names it",
    ),
    "another name": (
        lambda d: edit(d, inputs={"in0": TEXT | {"vocabulary": "words.json"}, "in1": TEXT}),
        "inputs.in0.vocabulary must be one of vocab.json, vocab0.json, vocab1.json",
    ),
    "one side": (lambda d: edit(d, inputs={"in0": TEXT}), "inputs must be {"),
    "kind": (
        lambda d: edit(d, inputs={"in0": TEXT, "in1": TEXT | {"kind": "image"}}),
        "inputs.in1.kind must be one of text, tokens, value, ids, got 'image'",
    ),
    "keys": (
        lambda d: edit(d, inputs={"in0": {"kind": "value"}, "in1": TEXT}),
        "inputs.in0 must hold the keys kind, vocabulary, whole_numbers, got ['kind']",
    ),
    "lowercase": (
        lambda d: edit(d, inputs={"in0": TEXT | {"lowercase": 1}, "in1": TEXT}),
        "inputs.in0.lowercase must be true or false, got 1",
    ),
    "classes": (lambda d: edit(d, class_names=["a"]), "holds 1 names, but num_classes is 2"),
    "class twice": (lambda d: edit(d, class_names=["a", "a"]), "class_names holds a name twice"),
    "class number": (lambda d: edit(d, class_names=[1, 2]), "class_names must be a list of names"),
    "broken json": (
        lambda d: (d / "config.json").write_text('{"format":\n oops}'),
        "config.json is not valid JSON: Expecting value: line 2 column 2",
    ),
    "broken metrics": (
        lambda d: (d / "metrics.json").write_text("[]"),
        "metrics.json must hold a JSON object, but it holds a list",
    ),
    "format": (lambda d: edit(d, format="gguf"), "format must be \"o2v_jax\", but it is 'gguf'"),
    "version": (lambda d: edit(d, format_version=3), "format version 3 is unknown"),
    "key": (lambda d: edit(d, dropout=1), "'dropout' is not a key of format version 2"),
    "no checksum": (lambda d: edit(d, params_sha256=None), "'params_sha256' is missing"),
    "checksum": (lambda d: edit(d, params_sha256="0"), "params.safetensors is not the file"),
    "hyperparameter": (
        lambda d: edit_hyperparameters(d, epochs="0"),
        "epochs",
    ),
    "hyperparameter type": (
        lambda d: edit_hyperparameters(d, epochs=3),
        "hyperparameters must be an object of strings",
    ),
    "tokenizer": (
        lambda d: edit(d, inputs={"in0": TEXT | {"tokenizer": "magic"}, "in1": TEXT}),
        "inputs.in0.tokenizer must be one of treebank, word, bpe, wordpiece, unigram, got 'magic'",
    ),
    "keys of a tokenizer": (
        lambda d: edit(d, inputs={"in0": TEXT | {"tokenizer": "bpe"}, "in1": TEXT}),
        "inputs.in0 must hold the keys kind, tokenizer, vocabulary, got ['kind', 'lowercase'",
    ),
    "a vocabulary for a tokenizer": (
        lambda d: edit(d, inputs={"in0": BPE | {"vocabulary": "vocab.json"}, "in1": TEXT}),
        "inputs.in0.vocabulary must be one of tokenizer.json, tokenizer0.json, tokenizer1.json",
    ),
    "no tokenizer": (
        lambda d: edit(d, inputs={"in0": BPE, "in1": TEXT}),
        "tokenizer.json is missing",
    ),
    "another tokenizer": (
        lambda d: (
            (d / "tokenizer.json").write_bytes(WORD.content),
            edit(d, inputs={"in0": BPE, "in1": TEXT}),
        ),
        "tokenizer.json: holds a tokenizer \"word\", but inputs.in0.tokenizer says 'bpe'",
    ),
    "a damaged tokenizer": (
        lambda d: (
            (d / "tokenizer.json").write_bytes(WORD.content[:99]),
            edit(d, inputs={"in0": BPE, "in1": TEXT}),
        ),
        "tokenizer.json is not valid JSON: ",
    ),
    "a large tokenizer": (
        lambda d: (
            (d / "tokenizer0.json").write_bytes(WORD.content),
            edit(d, inputs={"in0": LARGE, "in1": TEXT}),
        ),
        "tokenizer0.json: token 'a' has id 5000, but ids must be below the vocab_size",
    ),
    "a tokenizer too many": (
        lambda d: (d / "tokenizer1.json").write_text("{}"),
        "there is a tokenizer1.json, but no input names it",
    ),
    "tokenizer of format 1": (
        lambda d: edit(d, **FORMAT_1 | {"tokenizer": {"name": "bpe"}}),
        "tokenizer must be",
    ),
    "key of format 1": (
        lambda d: edit(d, **FORMAT_1, class_names=["a", "b"]),
        "'class_names' is not a key of format version 1",
    ),
    "histogram": (
        lambda d: edit(d, length_histogram={"in0": {"-1": 2}, "in1": {}}),
        "length_histogram.in0 must map lengths of 0..9999999 to counts, but it holds '-1': 2",
    ),
    "huge histogram": (
        lambda d: edit(d, length_histogram={"in0": {}, "in1": {"9" * 30: 2}}),
        "length_histogram.in1 must map",
    ),
    "vocabulary": (
        lambda d: (d / "vocab.json").write_text('{"zebra": 20}'),
        "token 'zebra' has id 20, but ids must be below the vocab_size 20",
    ),
    "missing": (
        lambda d: edit_params(d, **{EMBEDDING: None}),
        f"parameter '{EMBEDDING}' is missing",
    ),
    "unexpected": (
        lambda d: edit_params(d, extra=np.zeros(2, np.float32)),
        "parameter 'extra' is unexpected",
    ),
    "shape": (
        lambda d: edit_params(d, **{EMBEDDING: np.zeros((7, 4), np.float32)}),
        "parameter 'embed_0.weight' must have shape (20, 4), but it has (7, 4)",
    ),
    "dtype": (
        lambda d: edit_params(d, **{EMBEDDING: np.zeros((20, 4), np.float16)}),
        "parameter 'embed_0.weight' must be float32 (F32), but it is F16",
    ),
    "not finite": (
        lambda d: edit_params(d, **{EMBEDDING: np.full((20, 4), np.nan, np.float32)}),
        "parameter 'embed_0.weight' has 80 of 80 values that are not finite",
    ),
}


@pytest.mark.parametrize("name", MISMATCHES)
def test_each_mismatch_alone_is_one_problem(saved, name):
    damage, message = MISMATCHES[name]
    damage(saved)
    (problem,) = problems_of(saved)
    assert message in problem


def test_all_mismatches_are_said_in_one_error(saved):
    shapes = parameter_shapes(load(saved).config)
    first, second, third, fourth, *_ = shapes
    arrays = {
        first: None,
        second: np.zeros(99, np.float32),
        third: np.zeros(shapes[third]),
        fourth: np.full(shapes[fourth], np.inf, np.float32),
        "extra": np.zeros(1, np.float32),
    }
    edit_params(saved, **arrays)
    edit(saved, format_version=9, params_sha256="0", typo=1, length_histogram=[], class_names=[""])
    (saved / "vocab.json").write_text('{"zebra": 99}')
    (saved / "metrics.json").write_text("oops")
    found = "\n".join(problems_of(saved))
    expected = ["version 9", "SHA-256", "'typo'", "length_histogram", "class_names", "'zebra'"]
    expected += ["metrics.json"]
    for words in [*expected, *(repr(name) for name in arrays)]:
        assert words in found
    assert len(problems_of(saved)) == len(expected) + len(arrays)


@pytest.mark.parametrize("lowercase", [True, False])
def test_a_model_of_format_1_holds_text_on_both_sides(saved, lowercase):
    expected = load(saved)
    tokenizer = {"name": "treebank", "lowercase": lowercase}
    edit(saved, **FORMAT_1 | {"tokenizer": tokenizer})
    model = load(saved)
    assert model.tokenizers[0] == model.tokenizers[1]
    assert model.tokenizers[0].kind == "text"
    words = expected.tokenizers[0].vocabulary.tokens
    assert model.tokenizers[0].vocabulary == Vocabulary(words, lowercase=lowercase)
    edit(saved, tokenizer=None)
    (saved / "vocab.json").unlink()
    assert "vocab.json is missing" in "".join(problems_of(saved))  # its digest is known


@pytest.mark.parametrize("share", [0.0, 0.005, 0.02, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_named_as_such(saved, share):
    path = saved / "params.safetensors"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    checksum, truncated, *_ = problems_of(saved)
    assert "SHA-256" in checksum
    assert "params.safetensors is truncated or malformed" in truncated


def test_a_flipped_bit_in_the_weights_is_found(saved):
    path = saved / "params.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    assert problems_of(saved) == (
        "params.safetensors is not the file that was written: its SHA-256 differs",
    )


@EXAMPLES
@given(name=st.sampled_from(["params.safetensors", "config.json", "vocab.json"]), data=st.binary())
def test_random_bytes_only_ever_raise_the_one_error(saved, name, data):
    (saved / name).write_bytes(data)
    assert problems_of(saved)


def load_or_refuse(path):
    """Loads a model that may be wrong: anything but the one error fails the test."""
    with suppress(CheckpointError):
        load(path)


@EXAMPLES
@given(
    name=st.sampled_from(["params.safetensors", "config.json", "vocab.json"]),
    place=st.floats(0, 1, exclude_max=True),
    byte=st.integers(0, 255),
)
def test_random_changes_only_ever_raise_the_one_error(saved, name, place, byte):
    original = (saved / name).read_bytes()
    content = bytearray(original)
    content[int(place * len(content))] = byte
    (saved / name).write_bytes(content)
    load_or_refuse(saved)
    (saved / name).write_bytes(original)


@EXAMPLES
@given(
    key=st.sampled_from(["format_version", "hyperparameters", "tokenizer", "length_histogram"]),
    value=st.recursive(
        st.integers() | st.text() | st.booleans() | st.floats(),
        lambda inner: st.dictionaries(st.sampled_from(["in0", "in1", "7", "name"]), inner),
    ),
)
def test_random_values_only_ever_raise_the_one_error(saved, key, value):
    edit(saved, **{key: value})
    load_or_refuse(saved)


@pytest.mark.parametrize("path", ["nowhere", "empty"])
def test_where_there_is_no_model_the_error_says_what_one_is(tmp_path, path):
    (tmp_path / "empty").mkdir()
    (problem,) = problems_of(tmp_path / path)
    assert "a model directory contains config.json and params.safetensors" in problem


def test_what_a_crash_moved_aside_is_pointed_at(saved):
    aside = saved.rename(saved.with_name(".model.0123.old"))
    (problem,) = problems_of(saved)
    assert f"an interrupted save left the former model in {aside}" in problem


@pytest.fixture
def nested(saved, tmp_path):
    """A directory with one folder in it that is a model, as an archive with a top folder makes."""
    folder = tmp_path / "opt"
    folder.mkdir()
    saved.rename(folder / "model")
    (folder / "code").mkdir()
    (folder / "code" / "inference.py").touch()
    return folder


def test_the_one_model_within_a_directory_is_taken(nested, make_model, difference):
    assert difference(load(nested), make_model()) == set()
    assert difference(load(pack(nested, nested / "model.tar.gz")), make_model()) == set()
    _require_model(nested)


def test_a_model_at_the_top_goes_before_one_within(nested, make_model, difference):
    shutil.copytree(nested / "model", nested / "former")
    for path in save(make_model(1), nested / "new").iterdir():
        path.rename(nested / path.name)
    assert difference(load(nested), make_model(1)) == set()


def test_a_model_that_is_only_being_saved_there_is_none(nested):
    (nested / "model").rename(nested / ".opt.0123456789ab.tmp")
    (problem,) = problems_of(nested)
    assert "neither at its top level nor within one folder" in problem
    shutil.copytree(nested / ".opt.0123456789ab.tmp", nested / "whole")
    load(nested)


def test_of_several_models_within_none_is_taken(nested):
    shutil.copytree(nested / "model", nested / "former")
    problem = "must hold one model, but it holds several: 'former', 'model'"
    assert problems_of(nested) == (problem,)
    with pytest.raises(InputError, match=f"{nested} {problem}"):
        _require_model(nested)


def test_what_is_wrong_within_is_said_of_the_directory(nested):
    (nested / "model" / "params.safetensors").unlink()
    assert problems_of(nested) == ("params.safetensors is missing",)
