"""`o2v train --objective in_batch`: what it leaves, and options that contradict each other."""

import json

import numpy as np
import pytest

import o2v_jax

pytestmark = pytest.mark.slow

SETTINGS = {
    "enc0_network": "pooled_embedding",
    "enc0_max_seq_len": "4",
    "enc0_vocab_size": "20",
    "enc_dim": "8",
    "mini_batch_size": "8",
    "epochs": "2",
    "learning_rate": "0.05",
}


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Pairs that belong together, and the hyperparameters."""
    folder = tmp_path_factory.mktemp("records")
    rng = np.random.default_rng(0)
    rows = rng.integers(1, 10, (40, 2)).tolist()
    lines = [json.dumps({"label": 1, "in0": row, "in1": [n + 9 for n in row]}) for row in rows]
    (folder / "pairs.jsonl").write_text("\n".join(lines))
    (folder / "settings.json").write_text(json.dumps(SETTINGS | {"mlp_dim": "16"}))
    return folder


@pytest.fixture
def train(records, o2v, tmp_path):
    def run(*options, data="pairs.jsonl"):
        given = ("--train", records / data, "--validation", records / data)
        given += ("--hyperparameters", records / "settings.json", "--output", tmp_path / "model")
        return o2v("train", *given, *options)

    return run


def test_the_model_scores_by_similarity(train, o2v, records, tmp_path):
    options = ("--objective", "in_batch", "--temperature", "0.1", "--correct-popularity")
    done = train(*options, "--mlp_layers", "2")
    assert "mlp_dim, mlp_layers: not used, because the in-batch objective compares" in done.err
    assert done.status == 0, done.err
    assert "The model is in" in done.err
    assert ": validation mrr 0." in done.err or ": validation mrr 1 " in done.err
    model = o2v_jax.load(tmp_path / "model")
    assert model.config.objective == o2v_jax.InBatchObjective(
        temperature=0.1, correct_popularity=True
    )
    assert set(model.metrics["validation"]) == {"mrr", "hits_at_1", "hits_at_10", "mean_rank"}
    assert '"temperature": 0.1' in model.card
    rows = o2v("score", "--model", tmp_path / "model", records / "pairs.jsonl").rows
    scores = np.array([row["scores"] for row in rows])
    assert scores.shape == (40, 1)
    assert (np.abs(scores) <= 1 + 1e-6).all()
    shown = o2v("inspect", "--model", tmp_path / "model").out
    assert "objective: name=in_batch, similarity=cosine, temperature=0.1" in shown
    evaluated = o2v("evaluate", "--model", tmp_path / "model", records / "pairs.jsonl")
    assert evaluated.status == 2
    assert "this model was trained to rank" in evaluated.err


def test_the_curves_show_what_each_channel_is_measured_by(train, tmp_path):
    assert train("--objective", "in_batch", "--epochs", "1").status == 0
    report = tmp_path / "model.report"
    head = (report / "history.csv").read_text().splitlines()[0].split(",")
    assert head[1:3] == ["train_cross_entropy", "train_accuracy"]
    assert head[3] == "validation_mrr"
    assert (report / "curves.png").stat().st_size > 10_000


@pytest.mark.parametrize(("options", "message"), [
    (("--temperature", "0.1"), "--temperature: only with --objective in_batch"),
    (("--correct-popularity", "--similarity", "cosine"),
     "--similarity, --correct-popularity: only with --objective in_batch"),
    (("--objective", "in_batch", "--temperature", "0"),
     "--temperature=0.0 must be a number in 0.001..1000"),
    (("--objective", "in_batch", "--similarity", "dot"),
     "'dot' is not one of 'cosine', 'inner_product'"),
    (("--objective", "triplet"), "'triplet' is not one of 'pairs', 'in_batch'"),
    (("--objective", "in_batch", "--mini_batch_size", "1"),
     "mini_batch_size=1: the in-batch objective compares the pairs of a batch"),
    (("--objective", "in_batch", "--sagemaker"), "--objective cannot be combined with --sagemaker"),
])  # fmt: skip
def test_what_contradicts_is_refused(train, options, message):
    done = train(*options)
    assert done.status == 2
    assert message in done.err


def test_a_label_other_than_1_is_named(train, records):
    (records / "odd.jsonl").write_text('{"label": 1, "in0": [1], "in1": [2]}\n' * 2)
    with (records / "odd.jsonl").open("a") as file:
        file.write('{"label": 0, "in0": [1], "in1": [3]}\n')
    done = train("--objective", "in_batch", data="odd.jsonl")
    assert done.status == 2
    assert "odd.jsonl:3 $.label: 0 is not 1, and the in-batch objective" in done.err


def test_a_run_of_another_objective_is_not_resumed():
    from o2v_jax.training.job import identify_run  # noqa: PLC0415 - needs JAX

    config = o2v_jax.Hyperparameters(enc0_max_seq_len=4, enc0_vocab_size=9)
    objectives = [None, o2v_jax.InBatchObjective(), o2v_jax.InBatchObjective(temperature=1)]
    runs = [
        json.dumps(identify_run(o2v_jax.Hyperparameters(**vars(config) | {"objective": each}), {}))
        for each in objectives
    ]
    assert len(set(runs)) == len(objectives)
