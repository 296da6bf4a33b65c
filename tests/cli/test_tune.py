"""`o2v tune`: what a search leaves, how it goes on after a kill, and what it refuses."""

import csv
import fcntl
import json
import re
import shutil
import signal
import sys
import time

import pytest
from forked import Command
from matplotlib import image
from scipy.ndimage import label

import o2v_jax
from o2v_jax.tuning import DEFAULT_SEARCH

pytestmark = pytest.mark.process

BASE = {
    "enc0_max_seq_len": "6",
    "enc0_vocab_size": "20",
    "enc0_network": "pooled_embedding",
    "enc_dim": "8",
    "mlp_dim": "8",
    "mlp_layers": "1",
    "epochs": "3",
}
SEARCH = ("learning_rate=1e-3..1e-1", "dropout=0..0.4", "optimizer=adam,sgd")
LINE = re.compile(
    r"trial (\d+) of (\d+): (?:validation:accuracy=\d\.\d{4}|pruned, [^(]+)"
    r" \(best \d\.\d{4}, trial \d+\), \d+\.\d s"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    file = tmp_path_factory.mktemp("base") / "base.json"
    file.write_text(json.dumps(BASE))
    return file


@pytest.fixture(scope="module")
def arguments(files, base):
    """The options of the search that most tests share, for its number of trials and output."""
    given = {name: files[name] for name in ("train", "validation", "test")}
    given |= {"hyperparameters": base, "objective-metric": "validation:accuracy"}
    options = [word for name, value in given.items() for word in (f"--{name}", value)]
    options += [word for setting in SEARCH for word in ("--tune", setting)]
    return lambda trials, output: ["tune", *options, "--trials", trials, "--output", output]


@pytest.fixture(scope="module")
def start(apart):
    """Starts `o2v ARGUMENTS` as a process of its own."""
    return lambda arguments: Command(*arguments)


@pytest.fixture(scope="module")
def finished(arguments, start, tmp_path_factory):
    """The directory of a search of three trials, and what it printed."""
    output = tmp_path_factory.mktemp("tuned") / "search"
    process = start(arguments(3, output))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return output, out


def trials(output):
    with (output / "trials.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def untimed(output):
    return [{**row, "duration": None} for row in trials(output)]


def test_a_line_a_trial_and_a_table_of_the_best(finished):
    output, out = finished
    found = [match.groups() for match in map(LINE.fullmatch, out.splitlines()) if match]
    assert found == [(str(number), "3") for number in range(1, 4)]
    values = [float(row["value"]) for row in trials(output)]
    assert f"best of {len(values)} complete and 0 pruned trials" in out
    cells = [line.split("│") for line in out.splitlines() if line.startswith("│")]
    assert [float(cell[2]) for cell in cells] == pytest.approx(sorted(values)[::-1], abs=1e-4)
    assert all(name.partition("=")[0] in out for name in SEARCH)


def test_every_trial_keeps_to_the_ranges(finished):
    rows = trials(finished[0])
    assert [row["number"] for row in rows] == ["1", "2", "3"]
    assert {row["state"] for row in rows} == {"complete"}
    for row in rows:
        assert 1e-3 <= float(row["learning_rate"]) <= 1e-1
        assert 0 <= float(row["dropout"]) <= 0.4
        assert row["optimizer"] in {"adam", "sgd"}
        assert float(row["duration"]) > 0
    assert len({row["learning_rate"] for row in rows}) == 3


def test_the_model_on_disk_is_the_best_trials(finished):
    rows, model = trials(finished[0]), o2v_jax.load(finished[0] / "model")
    best = max(rows, key=lambda row: float(row["value"]))
    assert len({row["value"] for row in rows}) > 1
    assert model.metrics["validation"]["accuracy"] == float(best["value"])
    assert {"cross_entropy", "accuracy"} == set(model.metrics["test"])
    assert model.config.learning_rate == float(best["learning_rate"])
    assert model.config.optimizer == best["optimizer"]
    expected = {"objective": "validation:accuracy", "value": float(best["value"])}
    assert model.provenance["tuning"] == {**expected, "trial": int(best["number"])}
    assert model.provenance["command"].startswith("o2v tune --train ")
    assert set(model.provenance["files"]) == {"train", "validation", "test"}
    assert "```\no2v tune --train " in model.card
    assert model.length_histogram[0].sum() == 600


def test_the_best_hyperparameters_train_the_same_model_again(finished, files, start, tmp_path):
    best, output = finished[0] / "best.json", tmp_path / "model"
    assert all(isinstance(value, str) for value in json.loads(best.read_text()).values())
    data = [word for name in ("train", "validation") for word in (f"--{name}", files[name])]
    process = start(["train", *data, "--hyperparameters", best, "--output", output])
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    again, tuned = o2v_jax.load(output), o2v_jax.load(finished[0] / "model")
    assert again.config == tuned.config
    assert weights(again) == weights(tuned)


def weights(model):
    return model.params["embed_0"]["weight"].tolist()


def test_the_picture_has_a_panel_for_everything_searched(finished):
    pixels = image.imread(finished[0] / "tuning.png")
    assert pixels.shape[:2] == (696, 1116)
    lower = pixels[696 // 2 + 40 :]
    orange = (lower[..., 0] > 0.8) & (lower[..., 1] < 0.5) & (lower[..., 2] < 0.2)
    assert label(orange)[1] == len(SEARCH), "the best trial stands out once in every panel"


def test_a_finished_search_says_its_result_again(finished, arguments, o2v):
    before = {path: path.read_bytes() for path in finished[0].glob("[!.]*.[cj]s*")}
    assert len(before) == 2
    killed = finished[0] / f".model.{'0' * 12}.tmp"  # with its lock, which nobody holds any more
    killed.mkdir()
    killed.with_name(f"{killed.name}.lock").touch()
    run = o2v(*arguments(3, finished[0]))
    assert run.status == 0, run.err
    assert run.out == finished[1][finished[1].index("validation:accuracy, best of") :]
    assert {path: path.read_bytes() for path in before} == before
    assert not [*finished[0].glob(".model.*")]


def reached(process, log, trial):
    """Waits until a trial has drawn its last value, and so begins to train."""
    mark = re.compile(rb'"trial_id":%d,"param_name":"optimizer"' % trial)
    while not (log.exists() and mark.search(log.read_bytes())):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_a_search_that_is_stopped_and_killed_ends_as_one_that_was_not(
    finished, arguments, start, tmp_path
):
    output = tmp_path / "search"
    stopped = start(arguments(3, output))
    reached(stopped, output / "study.log", trial=1)
    stopped.send_signal(signal.SIGTERM)
    _, err = stopped.communicate(timeout=120)
    assert stopped.returncode == 143
    last = f"o2v: stopped by SIGTERM; the same command resumes from {output}"
    assert err.splitlines()[-1] == last, err
    assert "Traceback" not in err
    assert (output / "model" / "config.json").exists(), "the first trial was the best"

    killed = start(arguments(3, output))
    reached(killed, output / "study.log", trial=3)  # the stopped one was 1 and then 2
    killed.kill()
    killed.communicate(timeout=60)
    with (output / "study.log").open("ab") as log:
        log.write(b'{"op_code":6,"trial_id":3')

    process = start(arguments(3, output))
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert untimed(output) == untimed(finished[0])
    assert (output / "best.json").read_bytes() == (finished[0] / "best.json").read_bytes()
    ours, theirs = (o2v_jax.load(where / "model") for where in (output, finished[0]))
    assert weights(ours) == weights(theirs)


def test_a_timeout_begins_no_more_trials(finished, arguments, o2v, tmp_path):
    output = tmp_path / "search"
    shutil.copytree(finished[0], output)
    run = o2v(*arguments(9, output), "--timeout", 0)
    assert run.status == 0, run.err
    assert run.out.endswith("3 of 9 trials are finished; the same command resumes\n")
    assert untimed(output) == untimed(finished[0])


def test_trials_behind_the_median_are_pruned(files, base, o2v, tmp_path):
    """With this seed five trials are complete, three of them good, before a bad one comes."""
    given = ("--train", files["train"], "--validation", files["validation"])
    search = ("--tune", "learning_rate=0.03,1e-6", "--trials", 6, "--seed", 6)
    common = ("tune", *given, "--hyperparameters", base, *search)
    run = o2v(*common, "--output", tmp_path / "search")
    assert run.status == 0, run.err
    *complete, pruned = trials(tmp_path / "search")
    assert [row["learning_rate"] for row in complete].count("0.03") == 3
    assert (pruned["state"], pruned["learning_rate"]) == ("pruned", "1e-06")
    assert pruned["reason"] == "behind the median after epoch 1"
    assert float(pruned["value"]) > min(float(row["value"]) for row in complete)
    assert "trial 6 of 6: pruned, behind the median after epoch 1 (best " in run.out


def test_a_search_in_which_nothing_trains_says_why(files, base, o2v, tmp_path):
    wild = BASE | {"optimizer": "sgd", "weight_decay": "10000"}
    (tmp_path / "wild.json").write_text(json.dumps(wild))
    given = ("--train", files["train"], "--validation", files["validation"])
    search = ("--tune", "learning_rate=0.9..1.0", "--trials", 2, "--output", tmp_path / "search")
    run = o2v("tune", *given, "--hyperparameters", tmp_path / "wild.json", *search)
    assert run.status == 2
    why = "the validation loss is nan after epoch 0: lower learning_rate="
    assert f"none of 2 trials could be trained; the last: {why}" in run.complaints[-1]
    assert [row["state"] for row in trials(tmp_path / "search")] == ["pruned", "pruned"]
    assert all(why in row["reason"] for row in trials(tmp_path / "search"))
    assert not (tmp_path / "search" / "model").exists()


WRONG = {
    (
        "--objective-metric",
        "validation:mean_squared_error",
    ): "must be one of validation:cross_entropy, "
    "validation:accuracy, test:cross_entropy, test:accuracy, metrics of output_layer=softmax",
    ("--tune", "enc_dims"): "--tune enc_dims is not tunable; the nearest tunable name is enc_dim",
    ("--tune", "enc_dim=7..7.5"): "enc_dim='7.5': must be an integer in 4..10000",
    ("--tune", "dropout"): "--tune dropout: is named twice",
    (
        "--tune",
        "enc0_layers",
    ): "--tune enc0_layers: enc0 is a pooled_embedding, which has no layers",
    ("--timeout", "nan"): "nan is not a number of seconds",
    ("--seed", "9223372036854775808"): "is not in the range 0<=x<=9223372036854775807",
    ("--trials", "0"): "0 is not in the range x>=1",
    ("--train", "nowhere.jsonl"): "'nowhere.jsonl' does not exist",
}


@pytest.mark.parametrize("extra", WRONG)
def test_wrong_options_are_refused_before_anything_is_written(extra, arguments, o2v, tmp_path):
    run = o2v(*arguments(1, tmp_path / "search"), *extra)
    assert (run.status, len(run.complaints)) == (2, 1)
    assert WRONG[extra] in run.err
    assert not (tmp_path / "search").exists()


OTHERS = {
    "seed was 0, now 1": ("--seed", 1),
    "objective metric was validation:accuracy, now test:accuracy": (
        "--objective-metric",
        "test:accuracy",
    ),
    "pruning was True, now False": ("--no-pruning", "--on-error=fail"),
    "vocabulary data was None": ("--vocabulary", "vocabulary"),
    "search space was": ("--tune", "mlp_dim"),
    "epochs was 3, now 4": ("--hyperparameters", "other.json"),
    "train data was": ("--train", "validation"),
}


@pytest.mark.parametrize("change", OTHERS)
def test_another_search_is_not_continued(change, finished, arguments, files, o2v, tmp_path):
    output = tmp_path / "search"
    shutil.copytree(finished[0], output)
    (tmp_path / "other.json").write_text(json.dumps(BASE | {"epochs": "4"}))
    places = {"other.json": tmp_path / "other.json", "validation": files["validation"]}
    places["vocabulary"] = files["vocabulary"]
    name, value = OTHERS[change]
    run = o2v(*arguments(4, output), name, places.get(value, value))
    assert (run.status, len(run.complaints)) == (2, 1)
    assert f"{output} holds a study of another search ({change}" in run.err
    assert "choose another --output" in run.err


def test_a_search_goes_on_when_nobody_reads(arguments, start, tmp_path):
    process = start(arguments(2, tmp_path / "search"))
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=300)
    assert "Traceback" not in err
    assert process.returncode == 0, err
    assert len(trials(tmp_path / "search")) == 2
    assert (tmp_path / "search" / "tuning.png").exists()


def test_a_search_for_retrieval_improves_the_reciprocal_rank(base, files, o2v, tmp_path):
    positive = tmp_path / "positive.jsonl"
    rows = (json.loads(line) for line in files["train"].read_text().splitlines())
    positive.write_text("".join(json.dumps(row | {"label": 1}) + "\n" for row in rows))
    channels = "--train", positive, "--validation", positive, "--hyperparameters", base
    search = "--objective", "in_batch", "--temperature", 0.1, "--trials", 1
    tune = "--tune", "learning_rate=1e-3..1e-1", "--output", tmp_path / "search"
    run = o2v("tune", *channels, *search, *tune)
    assert run.status == 0, run.err
    assert "validation:mrr" in run.out
    assert "best.json: --objective in_batch --similarity cosine --temperature 0.1" in run.out
    assert o2v_jax.load(tmp_path / "search" / "model").config.objective.temperature == 0.1
    other = o2v("tune", *channels, *search, *tune, "--objective-metric", "validation:mean_rank")
    assert "objective metric was validation:mrr, now validation:mean_rank" in other.err
    idle = o2v("tune", *channels, *search, "--tune", "mlp_dim", "--output", tmp_path / "other")
    assert idle.status == 2
    assert "--tune mlp_dim: the in-batch objective compares encodings" in idle.complaints[-1]


def test_what_cannot_be_read_claims_no_directory(arguments, o2v, tmp_path):
    bad, words = tmp_path / "bad.jsonl", tmp_path / "words.json"
    bad.write_text("not json\n")
    words.write_text('{"a": 20}')
    for extra, reason in (
        (("--train", bad), "bad.jsonl:1 $: not valid JSON"),
        (("--vocabulary", words), "token 'a' has id 20, but ids must be below the vocab_size 20"),
    ):
        run = o2v(*arguments(1, tmp_path / "search"), *extra)
        assert run.status == 2
        assert reason in run.complaints[-1]
        assert not (tmp_path / "search").exists()


def test_a_directory_that_is_used_otherwise_or_by_another_is_refused(
    finished, arguments, o2v, tmp_path
):
    (tmp_path / "notes.txt").write_text("mine")
    run = o2v(*arguments(1, tmp_path))
    assert "holds other things than a study; choose another name" in run.err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with (finished[0] / "study.log").open("a") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        run = o2v(*arguments(9, finished[0]))
    assert (run.status, len(run.complaints)) == (2, 1)
    assert "another o2v tune is running there" in run.err


def test_without_optuna_it_says_how_to_get_it(arguments, o2v, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    run = o2v(*arguments(1, tmp_path / "search"))
    assert (run.status, len(run.complaints)) == (2, 1)
    assert "o2v tune needs optuna: install the extra [tune] of o2v_jax" in run.err


def test_the_help_names_the_default_search(o2v):
    run = o2v("tune", "--help")
    words = re.findall(r"\w+", run.out[run.out.index("Without --tune") :])
    at = [words.index(name) for name in DEFAULT_SEARCH]
    assert at == sorted(at)


def test_a_prepared_directory_is_all_that_a_search_needs(o2v, tmp_path):
    table = tmp_path / "ratings.csv"
    rows = [f"{user},{film},{1.5 + n}" for n in range(2) for user in "ab" for film in "xyz"]
    table.write_text("user,film,stars\n" + "\n".join(rows * 2) + "\n")
    columns = ("--in0", "user", "--in0-type", "value", "--in1", "film", "--in1-type", "value")
    shares = ("--label", "stars", "--validation", 0.2, "--output", tmp_path / "data")
    assert o2v("prepare", table, *columns, *shares).status == 0
    search = ("tune", "--data", tmp_path / "data", "--trials", 1, "--tune", "learning_rate")
    done = o2v(*search, "--output", tmp_path / "study")
    assert done.status == 0, done.err
    model = o2v_jax.load(tmp_path / "study" / "model")
    assert [tokenizer.kind for tokenizer in model.tokenizers] == ["value", "value"]
    both = o2v(*search, "--train", tmp_path / "data" / "train.jsonl", "--output", tmp_path / "x")
    assert "--data names a prepared directory: leave --train out" in both.err
    needed = o2v("tune", "--output", tmp_path / "x")
    assert (needed.status, "Missing option '--train', or --data instead" in needed.err) == (2, True)
