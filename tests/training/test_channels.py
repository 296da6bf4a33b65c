"""What lies in the folders of a training container: each thing is read or named."""

import json
import os

import pytest

from o2v_jax.errors import InputError
from o2v_jax.training import make_container_job
from o2v_jax.training.channels import read_channels

SETTINGS = {"enc0_max_seq_len": "4", "enc0_vocab_size": "9", "enc_dim": "4", "epochs": "1"}


@pytest.fixture
def layout(tmp_path):
    """A container's folders with two training files."""
    (tmp_path / "input" / "config").mkdir(parents=True)
    train = tmp_path / "input" / "data" / "train"
    (train / "nested").mkdir(parents=True)
    (train / "b.jsonl").write_text("")
    (train / "nested" / "a.jsonl").write_text("")
    (tmp_path / "input" / "config" / "hyperparameters.json").write_text(json.dumps(SETTINGS))
    return tmp_path


def describe(layout, name="inputdataconfig", **content):
    file = layout / "input" / "config" / f"{name}.json"
    file.write_text(json.dumps(content))
    return file


def add(layout, channel, *files):
    folder = layout / "input" / "data" / channel
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / name).write_text("")
    return folder


def refusal(layout):
    with pytest.raises(InputError) as refused:
        make_container_job(layout)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_all_files_of_a_channel_are_found(layout, caplog):
    add(layout, "validation", "v.jsonl", ".hidden")
    add(layout, "auxiliary", "vocab.json")
    add(layout, "lost+found")
    (layout / "input" / "data" / "train-manifest").write_text("")
    train = layout / "input" / "data" / "train"
    assert read_channels(layout) == {
        "train": (train / "b.jsonl", train / "nested" / "a.jsonl"),
        "validation": (layout / "input" / "data" / "validation" / "v.jsonl",),
        "test": (),
    }
    assert not caplog.records


@pytest.mark.parametrize(
    ("name", "near"),
    [
        *(("valid", "validation"), ("eval", "validation"), ("Validation", "validation")),
        *(("auxillary", "auxiliary"), ("training", "train"), ("Test", "test")),
        ("pictures", None),
    ],
)
def test_a_misspelt_channel_is_named_with_the_nearest(layout, name, near):
    add(layout, name, "a.jsonl")
    message = refusal(layout)
    assert f"channel {name!r} is not read: channels are train, validation, test, aux" in message
    assert message.endswith(f"did you mean {near}?") is (near is not None)
    (layout / "input" / "data" / name).rename(layout / "elsewhere")
    describe(layout, train={}, **{name: {}})
    assert f"inputdataconfig.json: channel {name!r} is not read" in refusal(layout)


@pytest.mark.parametrize("name", ["validation", "test"])
def test_an_empty_channel_is_said(layout, name, caplog):
    add(layout, name, ".gitkeep")
    assert read_channels(layout)[name] == ()
    (warning,) = caplog.records
    assert f"the channel {name} is empty" in warning.getMessage()


def test_a_channel_without_a_folder_is_named(layout):
    describe(layout, train={}, validation={})
    message = refusal(layout)
    assert "data/validation: the channel validation is missing" in message
    assert "inputdataconfig.json names it; there is train" in message


@pytest.mark.parametrize(
    ("others", "there"),
    [((), "there is no other"), (("validation", "auxiliary"), "there is auxiliary, validation")],
)
def test_without_training_data_the_channels_that_are_there_are_named(tmp_path, others, there):
    for name in others:
        add(tmp_path, name, "a")
    with pytest.raises(InputError, match=f"channel train is missing or empty \\({there}\\)"):
        read_channels(tmp_path)


@pytest.mark.parametrize("channel", ["train", "auxiliary"])
@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"TrainingInputMode": "Pipe"}, "TrainingInputMode 'Pipe', which is not read: use File or"),
        ({"RecordWrapperType": "RecordIO"}, "RecordWrapperType 'RecordIO', which is not read: use"),
        ({"TrainingInputMode": 3}, "TrainingInputMode 3, which"),
    ],
)
def test_forms_that_are_not_read_are_refused(layout, channel, setting, message):
    add(layout, channel, "a")
    describe(layout, **{"train": {"TrainingInputMode": "File"}, channel: setting})
    assert f"inputdataconfig.json: channel {channel} has the {message}" in refusal(layout)


@pytest.mark.parametrize("kind", ["text/csv", "application/x-recordio-protobuf", "image/png"])
def test_content_types_of_other_forms_are_refused(layout, kind):
    describe(layout, train={"ContentType": kind})
    assert f"the ContentType {kind!r}, which is not read: records are JSON" in refusal(layout)


@pytest.mark.parametrize(
    "setting",
    [
        {"ContentType": "Application/JSONLines; charset=utf-8"},
        {"ContentType": "", "TrainingInputMode": "FastFile", "RecordWrapperType": "None"},
        {"CompressionType": "Gzip"},
    ],
)
def test_other_descriptions_are_accepted(layout, setting):
    add(layout, "auxiliary", "vocab.json")
    describe(layout, train=setting, auxiliary={"ContentType": "text/csv"})
    assert make_container_job(layout).config.enc_dim == 4


def test_a_pipe_is_named(layout):
    os.mkfifo(layout / "input" / "data" / "validation_0")
    assert "validation_0: is a pipe, and the input mode Pipe is not read: use File" in refusal(
        layout
    )


def test_a_file_beside_the_channels_is_named(layout):
    (layout / "input" / "data" / "validation.jsonl").write_text("")
    assert "validation.jsonl: is in no channel: move it to a folder" in refusal(layout)


def test_what_is_no_file_in_a_channel_is_named(layout):
    train = layout / "input" / "data" / "train"
    (train / "gone").symlink_to(train / "nothing")
    assert "train/gone: is a link to no file" in refusal(layout)
    (train / "gone").unlink()
    (train / "more").symlink_to(add(layout, "validation", "v.jsonl"))
    assert "train/more: is a link to a folder, and not followed" in refusal(layout)
    (train / "more").unlink()
    os.mkfifo(train / "p")
    assert "train/p: is neither a file nor a folder" in refusal(layout)
    (train / "p").unlink()
    (train / "c.jsonl").symlink_to(train / "b.jsonl")
    assert len(read_channels(layout)["train"]) == 3


@pytest.mark.parametrize("content", ["[]", "{", '{"train": 5}', '{"train": null}'])
def test_a_description_that_is_none_is_named_by_its_path(layout, content):
    file = describe(layout)
    file.write_text(content)
    assert str(file) in refusal(layout)


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ("hyperparameter.json", "hyperparameters.json"),
        ("resourceConfig.json", "resourceconfig.json"),
        ("checkpoint_config.json", "checkpointconfig.json"),
    ],
)
def test_a_misspelt_configuration_is_named(layout, given, right):
    (layout / "input" / "config" / given).write_text("{}")
    (layout / "input" / "config" / "debughookconfig.json").write_text("{}")
    (layout / "input" / "config" / right).unlink(missing_ok=True)
    assert refusal(layout).endswith(f"{given}: is not read; did you mean {right}?")


def test_missing_hyperparameters_are_named_by_their_path(layout):
    file = layout / "input" / "config" / "hyperparameters.json"
    file.unlink()
    assert refusal(layout) == f"{file} cannot be read: No such file or directory"
    file.write_text("[1]")
    assert refusal(layout) == f"{file} must hold a JSON object, but it holds a list"


@pytest.mark.parametrize(
    ("local", "place"),
    [
        ("/elsewhere/kept", "/elsewhere/kept/state"),
        ("/opt/ml/checkpoints", "{prefix}/checkpoints/state"),
        ("/opt/ml/other/", "{prefix}/other/state"),
        (None, "{prefix}/checkpoints/state"),
    ],
)
def test_state_goes_where_the_job_says(layout, local, place):
    describe(layout, "checkpointconfig", LocalPath=local, S3Uri="s3://b/c")
    assert str(make_container_job(layout).checkpoints) == place.format(prefix=layout)


@pytest.mark.parametrize("local", ["s3://b/c", "checkpoints", 5])
def test_a_place_of_state_that_is_no_path_is_refused(layout, local):
    file = describe(layout, "checkpointconfig", LocalPath=local)
    assert refusal(layout).startswith(f"{file}: LocalPath must be an absolute path, but it is ")
