"""Models that somebody made to do harm: each is refused at once, in few words, and leaves nothing.

Those that once took long are so large that they would take minutes, or all memory.
"""

import json
import math
import os
import resource
import shutil
import struct
import tarfile
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2v_jax import Hyperparameters
from o2v_jax.checkpoint import load, save
from o2v_jax.checkpoint.params_file import find_problems
from o2v_jax.data.tokenizers import share_text_vocabulary
from o2v_jax.data.vocabulary import Vocabulary
from o2v_jax.errors import CheckpointError
from o2v_jax.model import parameter_shapes
from o2v_jax.util import hash_file

SECONDS = 5  # each takes some ms, and took 20 s or no end
CHARACTERS = 30_000
HUGE = 2**36


@pytest.fixture(scope="module")
def original(make_model, tmp_path_factory):
    return save(make_model(), tmp_path_factory.mktemp("original") / "model")


def copy(original, folder):
    return shutil.copytree(original, folder, dirs_exist_ok=True)


@pytest.fixture
def crafted(original, tmp_path):
    """A directory of a good model, to be changed, and a scratch folder that must end up empty."""
    folder, scratch = tmp_path / "model", tmp_path / "scratch"
    scratch.mkdir()
    copy(original, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(scratch))
        yield folder
    assert list(scratch.iterdir()) == []


def refusal(path):
    """What is said of it, in time and in a bounded number of words."""
    begun = time.process_time()
    with pytest.raises(CheckpointError) as caught:
        load(path)
    assert time.process_time() - begun < SECONDS
    assert len(str(caught.value)) < CHARACTERS
    return str(caught.value)


def write_params(folder, header, data=b"", hole=0):
    """Writes a safetensors file with this header and, after the data, a hole of zeros."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path = folder / "params.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    if hole:
        os.truncate(path, path.stat().st_size + hole)
        return
    document = json.loads((folder / "config.json").read_bytes()) | {
        "params_sha256": hash_file(path)
    }
    (folder / "config.json").write_text(json.dumps(document))


def tensor(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


HEADERS = {
    "scalar": ({"x": tensor([], 0, 4)}, b"1234", "'x' is unexpected"),
    "none by many": ({"x": tensor([0, 2**62], 0, 0)}, b"", "'x' is unexpected"),
    "100 dimensions": ({"x": tensor([1] * 100, 0, 4)}, b"1234", "'x' is unexpected"),
    "a scalar for a table": (
        {"embed_0.weight": tensor([], 0, 4)},
        b"1234",
        "must have shape (20, 4), but it has ()",
    ),
    "another size": ({"embed_0.weight": tensor([20, 4], 0, 4)}, b"1234", "another size than"),
    "thousands": (
        {f"x{n}": tensor([1], 4 * n, 4 * n + 4) for n in range(8000)},
        bytes(32_000),
        "more",
    ),
    "a long name": ({"x" * 10**6: tensor([1], 0, 4)}, b"1234", "is unexpected"),
    "an overlap": ({"x": tensor([1], 0, 4), "y": tensor([1], 0, 4)}, b"1234", "do not follow"),
    "a gap": ({"x": tensor([1], 4, 8)}, b"12345678", "do not follow"),
    "backwards": ({"x": tensor([1], 0, -4)}, b"", "that is not a number"),
    "too little": ({"x": tensor([3], 0, 12)}, b"1234", "take 12 bytes, but 4 are there"),
    "too much": ({}, b"1234", "take 0 bytes, but 4 are there"),
    "true": ({"x": tensor([True], 0, 4)}, b"1234", "that is not a number"),
    "no shape": ({"x": {"dtype": "F32"}}, b"", "lacks a dtype, a shape or offsets"),
    "no object": ({"x": 5}, b"", "lacks a dtype, a shape or offsets"),
    "a list": (b"[]", b"", "not a JSON object"),
    "twins": (b'{"x": 1, "x": 1}', b"", "it names 'x' twice"),
    "deep": (b'{"a":' * 10**5, b"", "not valid JSON"),
    "digits": (b'{"x": ' + b"9" * 10**5 + b"}", b"", "not valid JSON"),
    "long": (b" " * 10**7, b"", "its header takes 10,000,000 bytes, but at most 1,048,576"),
    "metadata": ({"__metadata__": {"files_sha256": 5}}, b"", "not an object of strings"),
    "no digests": (
        {"__metadata__": {"files_sha256": "5"}},
        b"",
        "files_sha256 is not a JSON object",
    ),
    "deep digests": ({"__metadata__": {"files_sha256": "[" * 10**5}}, b"", "is not valid JSON"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_tensors(crafted, name):
    header, data, message = HEADERS[name]
    write_params(crafted, header, data)
    assert message in refusal(crafted)


def test_no_memory_is_taken_for_a_tensor_that_has_no_bytes(crafted):
    path = crafted / "config.json"
    config = json.loads(path.read_bytes())
    large = ("enc0_vocab_size", "enc1_vocab_size"), ("enc_dim", "enc0_token_embedding_dim")
    for names, size in zip(large, ("3000000", "1000"), strict=True):
        config["hyperparameters"] |= dict.fromkeys((*names, names[-1].replace("0", "1")), size)
    path.write_text(json.dumps(config))
    shapes = parameter_shapes(Hyperparameters.from_strings(config["hyperparameters"]))
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 0 if name.startswith("embed") else 4 * math.prod(shape)
        header[name], end = tensor(shape, end, end + size), end + size
    write_params(crafted, header, bytes(end))
    hard = resource.getrlimit(resource.RLIMIT_AS)
    try:
        resource.setrlimit(resource.RLIMIT_AS, (memory_in_use() + 2**32, hard[1]))
        assert "another size than" in refusal(crafted)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, hard)


def memory_in_use():
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def test_a_long_vocabulary_beside_a_wrong_configuration_is_not_said_to_be_too_long(crafted):
    path = crafted / "config.json"
    config = json.loads(path.read_bytes())
    config["hyperparameters"] |= {"enc_dim": "bogus"}
    path.write_text(json.dumps(config))
    (crafted / "vocab.json").write_text(json.dumps({f"token {n}": n + 1 for n in range(90_000)}))
    message = refusal(crafted)
    assert "enc_dim=" in message
    assert "vocab.json" not in message


def test_nothing_is_read_that_does_not_fit(crafted):
    write_params(crafted, {"x": tensor([HUGE // 4], 0, HUGE)}, hole=HUGE)
    assert "'x' is unexpected" in refusal(crafted)
    edit = json.loads((crafted / "config.json").read_bytes()) | {"hyperparameters": {}}
    (crafted / "config.json").write_text(json.dumps(edit))
    assert "config.json" in refusal(crafted)


def test_nothing_is_read_of_an_archive_that_does_not_fit(crafted):
    """A sparse member of 744 bytes took 22 s and 4.3 GB."""
    size = 2**32
    write_params(crafted, {"x": tensor([size // 4], 0, size)}, hole=size)
    length = (crafted / "params.safetensors").stat().st_size
    path = crafted.with_suffix(".tar")
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.add(crafted / "config.json", "config.json")
        info = tarfile.TarInfo("params.safetensors")
        info.pax_headers = {
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.map": f"0,512,{length},0",
            "GNU.sparse.size": str(length),
        }
        info.size = 512
        with (crafted / "params.safetensors").open("rb") as file:
            archive.addfile(info, file)
    assert path.stat().st_size < 20_000
    assert "'x' is unexpected" in refusal(path)


JSON = ("config.json", "vocab.json", "metrics.json", "provenance.json")


@pytest.mark.parametrize("name", [*JSON, "params.safetensors"])
@pytest.mark.parametrize("kind", ["FIFO", "device", "folder", "link", "loop"])
def test_files_that_are_none(crafted, name, kind):
    path = crafted / name
    path.unlink()
    match kind:
        case "FIFO":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to("nowhere")
        case "loop":
            path.symlink_to(name)
    says = {"link": f"{name} is missing", "loop": f"{name} cannot be read"}
    assert says.get(kind, f"{name} is a {kind}, but it must be a file") in refusal(crafted)


def test_a_model_that_is_a_fifo_and_one_to_replace(tmp_path, crafted, make_model):
    os.mkfifo(tmp_path / "fifo")
    assert "is neither a directory nor a file" in refusal(tmp_path / "fifo")
    (crafted / "config.json").unlink()
    os.mkfifo(crafted / "config.json")
    with pytest.raises(CheckpointError, match="is not empty and not an o2v_jax model"):
        save(make_model(), crafted)


@pytest.mark.parametrize("name", JSON)
@pytest.mark.parametrize(
    ("content", "messages"),
    [
        (b"[" * 10**5, ["is not valid JSON"]),
        (b'{"a": ' * 985 + b"1" + b"}" * 985, [""]),
        (b'{"a": ' + b"9" * 10**5 + b"}", ["is not valid JSON"]),
        (json.dumps({"k" * 10**6: -1}).encode(), [""]),
        (b'{"' + b"k" * 10**6 + b'": 1, "' + b"k" * 10**6 + b'": 1}', ["twice", "at most"]),
        (json.dumps(dict.fromkeys(map(str, range(10**5)), -1)).encode(), [""]),
    ],
    ids=["deep", "nested", "digits", "a long key", "twins", "many keys"],
)
def test_json(crafted, name, content, messages):
    (crafted / name).write_bytes(content)
    said = refusal(crafted)
    assert name in said
    assert any(message in said for message in messages)


@pytest.mark.parametrize("name", JSON)
def test_sparse_json(crafted, name):
    os.truncate(crafted / name, HUGE)
    assert f"{name} takes {HUGE:,} bytes, but at most" in refusal(crafted)


def test_a_vocabulary_may_take_a_kilobyte_for_each_of_its_tokens(tmp_path, make_model):
    model = make_model()
    tokens = {str(n) + "x" * 50_000: n for n in range(1, 20)}
    object.__setattr__(model, "tokenizers", share_text_vocabulary(Vocabulary(tokens)))
    assert load(save(model, tmp_path / "model")).tokenizers == model.tokenizers
    longer = Vocabulary({t * 2: n for t, n in tokens.items()})
    object.__setattr__(model, "tokenizers", share_text_vocabulary(longer))
    with pytest.raises(CheckpointError, match=r"vocab\.json would take 1,\d+,\d+ bytes, but at"):
        save(model, tmp_path / "other")
    object.__setattr__(model, "provenance", {"log": "x" * 2**25})
    with pytest.raises(CheckpointError, match=r"provenance\.json would take"):
        save(model, tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_wrong_tokens_are_counted_and_not_listed():
    """Messages of a vocabulary that somebody gives by its own name, too."""
    with pytest.raises(Exception, match="and 99995 more tokens like these") as caught:
        Vocabulary(dict.fromkeys((f"{n}" + "x" * (n == 1) * 10**6 for n in range(10**5)), -1))
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "members",
    [
        ["a/" * 3000 + "x"],
        ["a/" * 32],
        ["a/" * depth for depth in range(20, 300)],
        ["x" * 60_000],
        ["x" * 300],
        ["config.json/x"],
        ["params.safetensors/x/y"],
        ["params.safetensors/", "config.json"],
        ["\udcff"],
        ["a\0b", "config.json"],
    ],
    ids=range(10),
)
def test_members(crafted, members):
    path = crafted.with_suffix(".tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        for name in members:
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            archive.addfile(info)
    assert refusal(path).count("/scratch/") == 0


def test_arrays_of_any_shape_are_checked_before_they_are_saved():
    arrays = {"scalar": np.float32(np.nan)[()].reshape(()), "none": np.zeros((0, 5), np.float32)}
    assert len([*find_problems(arrays, {})]) == 3


NUMBERS = st.integers(-1, 9) | st.sampled_from([2**31, 2**62, 2**64, 10**400]) | st.floats()
ANYTHING = st.recursive(
    NUMBERS | st.text(max_size=3) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
TENSORS = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F64", "U8", "??"]) | ANYTHING,
        "shape": st.lists(NUMBERS, max_size=3) | st.just([20, 4]) | ANYTHING,
        "data_offsets": st.tuples(NUMBERS, NUMBERS) | st.just((0, 320)) | ANYTHING,
    }
)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(
    header=ANYTHING
    | st.dictionaries(
        st.sampled_from(["embed_0.weight", "x", "x.y", "", "__metadata__"]), TENSORS | ANYTHING
    ),
    size=st.sampled_from([0, 4, 320]),
)
def test_random_headers_only_ever_raise_the_one_error(original, header, size):
    with tempfile.TemporaryDirectory() as name:
        folder = copy(original, Path(name))
        write_params(folder, header, bytes(size))
        with suppress(CheckpointError):
            load(folder)


NAMES = st.lists(st.sampled_from(["config.json", "vocab.json", "a", ".", "..", "", "\udcff"]))


@settings(max_examples=60, deadline=None)
@given(
    members=st.lists(
        st.tuples(
            NAMES.map("/".join),
            st.sampled_from([*b"0125SgxLK7"]),
            st.sampled_from([0, 7, 512, 8**11 - 1]),
            st.binary(max_size=600),
        ),
        max_size=4,
    )
)
def test_random_members_only_ever_raise_the_one_error(members):
    with tempfile.TemporaryDirectory() as name:
        path = Path(name, "model.tar")
        with path.open("wb") as file:
            for title, kind, size, data in members:
                info = tarfile.TarInfo(title)
                info.type, info.size = bytes([kind]), size
                file.write(info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape"))
                file.write(data.ljust(-len(data) % 512 + len(data), b"\0"))
            file.write(bytes(1024))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tempfile, "tempdir", name)
            with pytest.raises(CheckpointError):
                load(path)
        assert list(Path(name).iterdir()) == [path]
