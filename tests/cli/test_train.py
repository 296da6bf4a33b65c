"""`o2v train`: metric lines, the model it leaves, and what it refuses."""

import json
import re
import shutil

import numpy as np
import pytest

import o2v_jax
from o2v_jax.hyperparameters import hyperparameter_table

pytestmark = pytest.mark.slow

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
    assert model.tokenizers[0].vocabulary.tokens["sleeping"] == 5


def test_evaluate_repeats_the_test_metrics(trained, files, o2v):
    result = o2v("evaluate", "--model", trained[0], "--json", files["test"])
    expected = o2v_jax.load(trained[0]).metrics["test"]
    assert result.rows == [pytest.approx({**expected, "records": 70}, rel=1e-5)]


def test_a_run_is_repeated_by_its_seed(files, o2v, tmp_path):
    common = ("train", "--train", files["train"], "--hyperparameters", files["hyperparameters"])
    for name, seed in (("one", 5), ("again", 5), ("other", 6)):
        run = o2v(*common, "--epochs", 1, "--seed", seed, "--output", tmp_path / name)
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
        *("--early_stopping_tolerance=0.1", "--early_stopping_patience=1"),
        *("--learning_rate=1e-6", "--epochs=9", "--output", tmp_path / "model"),
    )
    assert "Early stopping after epoch 2." in run.out
    assert {channel for _, channel, *_ in quality(run.out)} == {"train"}


def test_regression_reports_its_metric(o2v, tmp_path):
    data = tmp_path / "ratings.jsonl"
    data.write_text(
        '{"label": 2.5, "in0": [1], "in1": [2]}\n{"label": -1, "in0": [3], "in1": []}\n'
    )
    options = ["--enc0_max_seq_len=1", "--enc0_vocab_size=9", "--enc_dim=4", "--epochs=2"]
    options += ["--enc0_network=pooled_embedding", "--output_layer=mean_squared_error"]
    run = o2v("train", "--train", data, "--test", data, *options, "--output", tmp_path / "model")
    names = {(channel, name) for _, channel, name, _ in quality(run.out)}
    assert names == {("train", "mean_squared_error <loss>"), ("test", "mean_squared_error <loss>")}
    evaluated = o2v("evaluate", "--model", tmp_path / "model", data)
    assert re.fullmatch(r"mean_squared_error \S+\nrecords 2\n", evaluated.out)


BAD_RECORDS = {
    '{"label": 2, "in0": [1], "in1": [1]}': r"bad.jsonl:2 \$.label: 2 is not an integer class in",
    '{"label": 0.5, "in0": [1], "in1": [1]}': r"bad.jsonl:2 \$.label: 0.5 is not an integer class",
    '{"label": 1, "in0": [1, 20], "in1": [1]}': r"bad.jsonl:2 \$.in0\[1\]: 20 is outside the",
    '{"label": 1, "in0": [1]}': r"bad.jsonl:2 \$: the field \"in1\" is missing",
    '{"in0": [1], "in1": [1]}': r"bad.jsonl:2 \$: .*label",
    '{"label": 1, "in0": [1], "in1": [1]': r"bad.jsonl:2 \$: .*JSON",
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
    ("option", "message"),
    [
        ("--epochs=0", "epochs=0: must be an integer in 1..100; the nearest valid value is 1"),
        ("--enc_dim=many", "enc_dim='many': must be an integer in 4..10000"),
        ("--epoch=3", "No such option '--epoch'."),
        ("--enc_dimm=3", "'--enc_dim'"),
        ("--mini-batch-size=3", "'--mini_batch_size'"),
        ("--enc_dim", "Option '--enc_dim' requires an argument."),
        ("--checkpoint-interval=-1", "--checkpoint-interval"),
        ("--on-error=ignore", "is not one of 'fail', 'skip'"),
        ("--auxiliary=nowhere", "Directory 'nowhere' does not exist"),
        ("--prefix=elsewhere", "--prefix says where --sagemaker finds its layout"),
    ],
)
def test_bad_options_are_refused(option, message, files, o2v, tmp_path):
    common = ("--train", files["train"], "--hyperparameters", files["hyperparameters"])
    run = o2v("train", *common, "--output", tmp_path / "model", option)
    assert (run.status, len(run.complaints)) == (2, 1)
    assert message in run.err
    assert list(tmp_path.iterdir()) == []


def test_options_overrule_the_map_and_the_environment_the_map(files, o2v, tmp_path, monkeypatch):
    monkeypatch.setenv("O2V_TRAIN_EPOCHS", "2")
    monkeypatch.setenv("O2V_TRAIN_MLP_DIM", "5")
    common = ("--train", files["train"], "--hyperparameters", files["hyperparameters"])
    run = o2v("train", *common, "--epochs", 1, "--output", tmp_path / "model")
    assert run.status == 0, run.err
    config = o2v_jax.load(tmp_path / "model").config
    assert (config.epochs, config.mlp_dim, config.enc_dim) == (1, 5, 16)


def test_values_are_written_as_the_documentation_writes_them(files, o2v, tmp_path):
    options = ("--comparator_list", "hadamard,concat", "--tied_token_embedding_weight", "true")
    common = ("--train", files["train"], "--hyperparameters", files["hyperparameters"])
    run = o2v("train", *common, *options, "--epochs=1", "--output", tmp_path / "model")
    assert run.status == 0, run.err
    config = o2v_jax.load(tmp_path / "model").config
    assert config.comparator_list == ("hadamard", "concat")
    assert config.tied_token_embedding_weight is True


def test_help_has_a_section_of_hyperparameters(o2v):
    options, hyperparameters = o2v("train", "--help").out.split("\nHyperparameters:\n")
    assert "--enc_dim " not in options
    words = " ".join(hyperparameters.split())
    for row in hyperparameter_table():
        default = row.default if "required" in row.default else f"default {row.default}"
        assert f"--{row.name} VALUE {row.rule}; {default}" in words


NEEDED = "o2v: train needs --data or --train, and --output; or --sagemaker\n"


def test_what_is_needed_is_said(o2v):
    run = o2v("train", "--epochs", 3)
    assert (run.status, run.err) == (2, NEEDED)


def test_reports_stand_beside_the_model_or_where_they_are_told(files, o2v, tmp_path):
    common = ("--train", files["train"], "--hyperparameters", files["hyperparameters"])
    common = ("train", *common, "--validation", files["validation"], "--epochs=2", "--output")
    for output, options in (("a", ()), ("b", ("--report", tmp_path / "elsewhere"))):
        assert o2v(*common, tmp_path / output, *options).status == 0
    assert {path.name for path in tmp_path.iterdir()} == {"a", "a.report", "b", "elsewhere"}
    for folder in ("a.report", "elsewhere"):
        assert {path.name for path in (tmp_path / folder).iterdir()} == {
            "history.csv",
            "curves.png",
        }
    header, *rows = (tmp_path / "elsewhere" / "history.csv").read_text().splitlines()
    assert header.startswith("epoch,train_cross_entropy,train_accuracy,validation_cross_entropy,")
    assert [row[:2] for row in rows] == ["0,", "1,"]


def test_bad_records_can_be_skipped(files, o2v, tmp_path):
    data = tmp_path / "odd.jsonl"
    data.write_text("\n".join(['{"label": 1, "in0": [1], "in1": [1]}', *BAD_RECORDS]))
    common = ("--train", data, "--hyperparameters", files["hyperparameters"], "--epochs=1")
    run = o2v("train", *common, "--on-error=skip", "--output", tmp_path / "model")
    assert run.status == 0, run.err
    assert "6 bad records" in run.err
    skipped = (tmp_path / "model.report" / "skipped.txt").read_text().splitlines()
    assert [line.split()[0] for line in skipped] == [f"{data}:{line}" for line in range(2, 8)]
    assert o2v_jax.load(tmp_path / "model").provenance["records"] == 1


@pytest.fixture
def layout(files, tmp_path):
    """The folders of a SageMaker training job."""
    config, channel = tmp_path / "input" / "config", tmp_path / "input" / "data" / "train"
    for folder in (config, channel):
        folder.mkdir(parents=True)
    shutil.copy(files["hyperparameters"], config / "hyperparameters.json")
    shutil.copy(files["train"], channel)
    return tmp_path


def test_how_to_train_can_be_said_beside_sagemaker(o2v, layout):
    options = ("--seed=7", "--checkpoint-interval=5", "--no-resume", "--on-error=skip")
    options += ("--cache", layout / "cache")
    run = o2v("train", "--sagemaker", "--prefix", layout, *options)
    assert run.status == 0, run.err
    assert o2v_jax.load(layout / "model").provenance["seed"] == 7
    assert (layout / "output" / "data" / "curves.png").exists()
    assert any((layout / "cache").iterdir())


@pytest.mark.parametrize(
    "option", ["--epochs=1", "--report=x", "--checkpoints=x", "--auxiliary=.", "--output=x"]
)
def test_what_the_layout_says_cannot(o2v, layout, option):
    run = o2v("train", "--sagemaker", "--prefix", layout, option)
    name = option.partition("=")[0]
    message = f"o2v: {name} cannot be combined with --sagemaker, which reads the layout\n"
    assert (run.status, run.err) == (2, message)


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
    options = ("--hyperparameters", files["hyperparameters"], "--epochs=1")
    run = o2v("train", "--train", data, *options, "--output", tmp_path / "model")
    assert run.status == 0
    ignored, cut, zero, *end = run.err.splitlines()
    assert len(end) == 2  # where the model is, and how to serve it
    assert "ignored" in ignored
    assert "_kvstore" in ignored
    assert "odd.jsonl: in0: 3 sequences are cut to enc0_max_seq_len=6" in cut
    assert "odd.jsonl: in0: id 0 is padding" in zero


def test_a_diverged_run_says_so(files, o2v, tmp_path):
    options = ("--optimizer=sgd", "--learning_rate=1.0", "--weight_decay=10000", "--epochs=5")
    common = ("--train", files["train"], "--hyperparameters", files["hyperparameters"])
    run = o2v("train", *common, *options, "--output", tmp_path / "model")
    assert run.status == 2
    assert "loss is nan after epoch 0: lower learning_rate=1.0" in run.err.splitlines()[-1]
    assert not (tmp_path / "model").exists()


def test_help_for_no_command(o2v):
    result = o2v()
    assert result.status == 2
    assert "Usage: o2v" in (result.out + result.err).splitlines()[0]
