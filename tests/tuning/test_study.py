"""A study on disk: torn lines, locks, trials that a kill ended, and whose study it is."""

import subprocess
import sys

import pytest

from o2v_jax.errors import InputError
from o2v_jax.tuning import ObjectiveMetric, make_space
from o2v_jax.tuning.report import list_rows, rank_rows
from o2v_jax.tuning.study import Study, open_journal

OBJECTIVE = ObjectiveMetric("validation", "accuracy")


@pytest.fixture
def opened(tmp_path, config_of):
    """A function that opens the study in a directory, as a new process does."""
    space = make_space(config_of(), ["learning_rate", "dropout"])

    def open_study(storage, objective=OBJECTIVE):
        return Study(storage, space, objective, pruning=True)

    return open_study


def run_trials(study, values, seed=0):
    for value in values:
        study.complete(study.begin(seed), value)


def drawn(study):
    return [trial.params for trial in study.finished]


def test_a_study_killed_anywhere_goes_on_as_if_it_had_not_been(opened, tmp_path):
    """Twelve trials, so that the sampler's model is at work too; a kill before every third."""
    values = [0.1, 0.5, 0.3, 0.9, 0.2, 0.4, 0.8, 0.6, 0.7, 0.55, 0.35, 0.95]
    with open_journal(tmp_path / "whole.log") as storage:
        whole = opened(storage)
        run_trials(whole, values)
    for start in range(0, len(values), 3):
        with open_journal(tmp_path / "killed.log") as storage:
            study = opened(storage)
            study.recover()
            run_trials(study, values[start : start + 3])
            study.begin(0)  # and the process is gone
        with (tmp_path / "killed.log").open("ab") as file:
            file.write(b'{"op_code":5,"worker_id":"torn')
    with open_journal(tmp_path / "killed.log") as storage:
        killed = opened(storage)
        assert drawn(killed) == drawn(whole)
        assert [trial.value for trial in killed.finished] == values


def test_a_trial_that_keeps_killing_its_process_is_given_up(opened, tmp_path):
    for _ in range(3):
        with open_journal(tmp_path / "study.log") as storage:
            study = opened(storage)
            study.recover()
            first = study.begin(0).params
    with open_journal(tmp_path / "study.log") as storage:
        study = opened(storage)
        study.recover()
        (row,) = list_rows(study)
        assert drawn(study) == [first]
        assert (row.state, row.reason) == ("pruned", "the process ended 3 times while it ran")
        assert study.begin(0).params != first


def test_stopping_by_hand_never_gives_a_trial_up(opened, tmp_path):
    with open_journal(tmp_path / "study.log") as storage:
        study = opened(storage)
        first = study.begin(0).params
        for _ in range(5):
            study.recover(killed=False)
            assert study.begin(0).params == first
        assert study.finished == []


@pytest.mark.process
def test_two_processes_cannot_share_a_study(tmp_path):
    file = tmp_path / "study.log"
    code = "import sys; from pathlib import Path; from o2v_jax.tuning.study import open_journal\n"
    code += "with open_journal(Path(sys.argv[1])): pass"
    command = [sys.executable, "-c", code, file]
    with open_journal(file):
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert "another o2v tune is running there" in done.stderr
    assert subprocess.run(command, check=False, timeout=100).returncode == 0


def test_a_file_that_is_no_study_is_left_alone(tmp_path):
    (tmp_path / "study.log").write_text("my notes\nof today\n")
    with (
        pytest.raises(InputError, match="is not a study that o2v tune wrote"),
        open_journal(tmp_path / "study.log"),
    ):
        pass
    assert (tmp_path / "study.log").read_text() == "my notes\nof today\n"


def test_a_study_belongs_to_one_search(opened, tmp_path):
    with open_journal(tmp_path / "study.log") as storage:
        opened(storage).claim({"seed": "0", "epochs": "4"}, tmp_path)
    with open_journal(tmp_path / "study.log") as storage:
        study = opened(storage)
        study.claim({"seed": "0", "epochs": "4"}, tmp_path)
        with pytest.raises(InputError, match=r"another search \(epochs was 4, now 5\)"):
            study.claim({"seed": "0", "epochs": "5"}, tmp_path)
        with pytest.raises(InputError, match=r"another search \(epochs was 4, now None\)"):
            study.claim({"seed": "0"}, tmp_path)


@pytest.mark.parametrize(
    ("metric", "order"), [("accuracy", [2, 4, 1]), ("cross_entropy", [1, 2, 4])]
)
def test_the_best_is_by_direction_the_first_of_equals_and_never_pruned(
    metric, order, opened, tmp_path
):
    with open_journal(tmp_path / "study.log") as storage:
        study = opened(storage, ObjectiveMetric("validation", metric))
        run_trials(study, [0.1, 0.5])
        pruned = study.begin(0)
        pruned.report(0.9 if metric == "accuracy" else 0.01, 0)
        study.prune(pruned, "behind")
        run_trials(study, [0.5])
        rows = list_rows(study)
        assert [row.number for row in rank_rows(rows, study)] == order
        assert study.best.params == study.finished[order[0] - 1].params
        assert (rows[2].state, rows[2].reason) == ("pruned", "behind")


def test_the_seed_decides(opened, tmp_path):
    found = []
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        with open_journal(tmp_path / name) as storage:
            study = opened(storage)
            run_trials(study, [0.1, 0.2, 0.3], seed)
            found.append(drawn(study))
            assert len({trial["dropout"] for trial in found[-1]}) == 3
    assert found[0] == found[1] != found[2]
