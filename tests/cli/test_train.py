"""`o2v train`: metric lines, the model it leaves, and what it refuses."""

import json
import re

import numpy as np
import pytest

import o2v_jax

QUALITY = re.compile(
    r"#quality_metric: host=algo-1,(?: epoch=(\d+),)? (train|validation|test) "
    r"(cross_entropy <loss>|accuracy <score>|mean_squared_error <loss>)=(\S+)"
)


def quality(out):
    return [match.groups() for match in map(QUALITY.fullmatch, out.splitlines()) if match]


def test_metric_lines_have_the_documented_form(trained):
    lines = quality(trained[1])
    epochs = {int(epoch) for epoch, *_ in lines if epoch}
    assert epochs == set(range(4))
    for channel in ("train", "validation"):
        for name in ("cross_entropy <loss>", "accuracy <score>"):
            assert len([1 for line in lines if line[1:3] == (channel, name)]) == 4
    assert [line[:3] for line in lines if line[1] == "test"] == [
        (None, "test", "cross_entropy <loss>"),
        (None, "test", "accuracy <score>"),
    ]
    assert "#progress_metric: host=algo-1, completed 100.0 % of epochs" in trained[1]
    assert re.search(
        r"#throughput_metric: host=algo-1, train throughput=[\d.]+ records/s", trained[1]
    )


def test_it_learns_and_keeps_the_best_epoch(trained):
    model = o2v_jax.load(trained[0])
    losses = [
        float(v) for _, c, n, v in quality(trained[1]) if (c, n[:5]) == ("validation", "cross")
    ]
    assert model.metrics["best_epoch"] == int(np.argmin(losses))
    assert model.metrics["validation"]["cross_entropy"] == pytest.approx(min(losses))
    assert model.metrics["test"]["accuracy"] > 0.9


def test_the_model_says_where_it_comes_from(trained, files):
    model = o2v_jax.load(trained[0])
    assert model.provenance["seed"] == 0
    assert set(model.provenance["files"]) == {"train", "validation", "test"}
    assert model.provenance["command"].startswith("o2v train --train=")
    assert model.length_histogram is not None
    assert model.length_histogram[0].sum() == 600
    assert len(model.length_histogram[0]) == 7, "sequences are cut at max_seq_len"
    assert model.vocabulary.tokens["sleeping"] == 5


def test_evaluate_repeats_the_test_metrics(trained, files, o2v):
    result = o2v("evaluate", "--model", trained[0], "--json", files["test"])
    expected = o2v_jax.load(trained[0]).metrics["test"]
    assert result.rows == [pytest.approx({**expected, "records": 70}, rel=1e-5)]


def test_a_run_is_repeated_by_its_seed(files, o2v, tmp_path):
    common = ("train", "--train", files["train"], "--hyperparameters", files["hyperparameters"])
    for name, seed in (("one", 5), ("again", 5), ("other", 6)):
        run = o2v(*common, "--set", "epochs=1", "--seed", seed, "--output", tmp_path / name)
        assert run.status == 0, run.err
    one, again, other = (
        o2v_jax.load(tmp_path / name).params["embed_0"]["weight"]
        for name in ("one", "again", "other")
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_without_validation_the_training_loss_decides(files, o2v, tmp_path):
    run = o2v(
        *("train", "--train", files["train"], "--hyperparameters", files["hyperparameters"]),
        *("--set", "early_stopping_tolerance=0.1", "--set", "early_stopping_patience=1"),
        *("--set", "learning_rate=1e-6", "--set", "epochs=9", "--output", tmp_path / "model"),
    )
    assert "Early stopping after epoch 2." in run.out
    assert {channel for _, channel, *_ in quality(run.out)} == {"train"}


def test_regression_reports_its_metric(o2v, tmp_path):
    data = tmp_path / "ratings.jsonl"
    data.write_text(
        '{"label": 2.5, "in0": [1], "in1": [2]}\n{"label": -1, "in0": [3], "in1": []}\n'
    )
    settings = [
        "enc0_max_seq_len=1",
        "enc0_vocab_size=9",
        "enc_dim=4",
        "enc0_network=pooled_embedding",
    ]
    settings += ["output_layer=mean_squared_error", "epochs=2"]
    options = [word for setting in settings for word in ("--set", setting)]
    run = o2v("train", "--train", data, "--test", data, *options, "--output", tmp_path / "model")
    names = {(channel, name) for _, channel, name, _ in quality(run.out)}
    assert names == {("train", "mean_squared_error <loss>"), ("test", "mean_squared_error <loss>")}
    evaluated = o2v("evaluate", "--model", tmp_path / "model", data)
    assert re.fullmatch(r"mean_squared_error \S+\nrecords 2\n", evaluated.out)


BAD_RECORDS = {
    '{"label": 2, "in0": [1], "in1": [1]}': r"bad.jsonl:2: \$.label: 2 is not an integer class in",
    '{"label": 0.5, "in0": [1], "in1": [1]}': r"bad.jsonl:2: \$.label: 0.5 is not an integer class",
    '{"label": 1, "in0": [1, 20], "in1": [1]}': r"bad.jsonl:2: \$.in0\[1\]: 20 is outside the",
    '{"label": 1, "in0": [1]}': r"bad.jsonl:2: \$: gives only one side",
    '{"in0": [1], "in1": [1]}': r"bad.jsonl:2: .*label",
    '{"label": 1, "in0": [1], "in1": [1]': r"bad.jsonl:2: .*JSON",
}


@pytest.mark.parametrize("line", BAD_RECORDS)
def test_bad_records_are_named(line, files, o2v, tmp_path):
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"label": 1, "in0": [1], "in1": [1]}\n' + line + "\n")
    options = ("--hyperparameters", files["hyperparameters"], "--output", tmp_path / "model")
    run = o2v("train", "--train", bad, *options)
    assert run.status == 2
    assert len(run.complaints) == 1
    assert re.search(BAD_RECORDS[line], run.err), run.err
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("epochs=0", "must be an integer in 1..100"),
        ("epoch=3", "nearest valid name is epochs"),
        ("epochs", "must be NAME=VALUE"),
        ("token_embedding_storage_type=row_sparse", "row_sparse cannot be trained by this version"),
        ("negative_sampling_rate=3", "cannot be trained by this version"),
        ("enc0_pretrained_embedding_file=glove.txt", "cannot be trained by this version"),
    ],
)
def test_bad_settings_are_refused(setting, message, files, o2v, tmp_path):
    common = ("--train", files["train"], "--hyperparameters", files["hyperparameters"])
    run = o2v("train", *common, "--set", setting, "--output", tmp_path / "model")
    assert (run.status, len(run.complaints)) == (2, 1)
    assert message in run.err


def test_an_empty_file_and_a_taken_output_are_refused(files, o2v, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("\n\n")
    common = ("train", "--hyperparameters", files["hyperparameters"], "--output")
    assert "holds no records" in o2v(*common, tmp_path / "model", "--train", empty).err
    (tmp_path / "notes.txt").write_text(json.dumps("mine"))
    run = o2v(*common, tmp_path, "--train", files["train"])
    assert "choose another name" in run.err
    assert (tmp_path / "notes.txt").exists()


def test_odd_data_and_ignored_names_are_said_once(files, o2v, tmp_path):
    data = tmp_path / "odd.jsonl"
    data.write_text('{"label": 1, "in0": [1, 0, 2, 3, 4, 5, 6], "in1": [1]}\n' * 3)
    options = ("--hyperparameters", files["hyperparameters"], "--set", "epochs=1")
    run = o2v("train", "--train", data, *options, "--output", tmp_path / "model")
    assert run.status == 0
    ignored, cut, zero = run.err.splitlines()
    assert "ignored" in ignored
    assert "_kvstore" in ignored
    assert "odd.jsonl: in0: 3 sequences are cut to enc0_max_seq_len=6" in cut
    assert "odd.jsonl: in0: id 0 is padding" in zero


def test_a_diverged_run_says_so(files, o2v, tmp_path):
    wild = "optimizer=sgd", "learning_rate=1.0", "weight_decay=10000", "epochs=5"
    options = [word for setting in wild for word in ("--set", setting)]
    common = ("--train", files["train"], "--hyperparameters", files["hyperparameters"])
    run = o2v("train", *common, *options, "--output", tmp_path / "model")
    assert run.status == 2
    assert "loss is nan after epoch 0: lower learning_rate=1.0" in run.err.splitlines()[-1]
    assert not (tmp_path / "model").exists()


def test_help_for_no_command(o2v):
    result = o2v()
    assert result.status == 2
    assert "Usage: o2v" in (result.out + result.err).splitlines()[0]
