"""Runs of the in-batch objective: what they report, what they keep, and that they learn."""

import io
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata

import o2v_jax
from o2v_jax import Hyperparameters, InBatchObjective
from o2v_jax.data.negatives import Negatives
from o2v_jax.data.ragged import Ragged
from o2v_jax.errors import InputError
from o2v_jax.training import measure_model
from o2v_jax.training.data.dataset import Dataset
from o2v_jax.training.loop.run import Run
from o2v_jax.training.report.metric_lines import Reporter

pytestmark = pytest.mark.slow

CONFIG = Hyperparameters(
    enc0_max_seq_len=4,
    enc0_vocab_size=60,
    enc0_network="pooled_embedding",
    enc_dim=16,
    mini_batch_size=16,
    learning_rate=0.02,
    epochs=6,
    objective=InBatchObjective(),
)


def related(records, seed):
    """Pairs of which each token of in1 belongs to one of in0, 30 ids further."""
    rng = np.random.default_rng(seed)
    in0 = rng.integers(1, 30, (records, 3))
    return Dataset(
        Ragged.of(in0), Ragged.of(rng.permuted(in0, axis=1) + 30), np.ones(records, np.float32)
    )


@pytest.fixture(scope="module")
def run():
    reporter = Reporter(stream=io.StringIO())
    run = Run(CONFIG, related(200, 0), related(40, 1), related(40, 2), reporter=reporter)
    run.fit()
    return run


def test_it_learns_to_rank(run):
    untrained = run.evaluate(o2v_jax.init(CONFIG), run.validation)
    last = run.metrics["validation"]
    assert untrained["mrr"] < 0.5
    assert last["mrr"] > 0.9
    assert last["mrr"] == max(epoch["validation"]["mrr"] for epoch in run.history)
    assert run.metrics["test"]["hits_at_10"] > 0.9
    losses = [epoch["train"]["cross_entropy"] for epoch in run.history]
    assert losses[-1] < losses[0]


def test_metrics_are_those_of_all_distinct_candidates(run):
    data = run.test
    scorer = o2v_jax.Scorer(o2v_jax.Model(run.config, run.params))
    in0, in1 = (list(map(tuple, rows)) for rows in (data.in0.to_lists(), data.in1.to_lists()))
    candidates = sorted(set(in1))
    ranks = []
    for query in sorted(set(in0)):
        order = scorer.rank(list(query), list(map(list, candidates)), k=len(candidates))
        scores = np.empty(len(candidates))
        scores[order.indices] = order.scores
        place = dict(zip(candidates, rankdata(-scores), strict=True))
        ranks.append(min(place[b] for a, b in zip(in0, in1, strict=True) if a == query))
    expected = {
        "mrr": np.mean(1 / np.array(ranks)),
        "hits_at_1": np.mean(np.array(ranks) <= 1),
        "hits_at_10": np.mean(np.array(ranks) <= 10),
        "mean_rank": np.mean(ranks),
    }
    assert run.metrics["test"] == pytest.approx(expected, rel=1e-5)


def test_metric_lines_say_which_are_scores(run):
    lines = run.reporter.stream.getvalue()
    assert "validation mrr <score>=" in lines
    assert "validation mean_rank <loss>=" in lines
    assert "train cross_entropy <loss>=" in lines


def test_without_validation_the_training_loss_decides():
    run = Run(CONFIG, related(64, 0), reporter=Reporter(stream=io.StringIO()))
    run.fit()
    losses = [epoch["train"]["cross_entropy"] for epoch in run.history]
    assert run.best_epoch == int(np.argmin(losses))


def test_labels_have_nothing_to_be_compared_with(run):
    model = o2v_jax.Model(run.config, run.params)
    with pytest.raises(InputError, match="this model was trained to rank"):
        measure_model(model, run.test)


def test_a_pair_that_does_not_belong_together_is_refused():
    table = {"in0": [[1], [2], [3]], "in1": [[4], [5], [6]], "y": [1, 1, 0]}
    with pytest.raises(o2v_jax.RecordError) as caught:
        o2v_jax.train(
            table, in0="in0", in1="in1", label="y", validation=0, objective=InBatchObjective()
        )
    assert str(caught.value) == (
        "table: row 2: label: 0 is not 1, "
        "and the in-batch objective trains on pairs that belong together"
    )


def test_frequencies_are_those_of_the_training_data_alone():
    config = replace(CONFIG, epochs=1, objective=InBatchObjective(correct_popularity=True))
    reporter = Reporter(stream=io.StringIO())
    run = Run(config, related(20, 0), related(60, 1), related(50, 2), reporter=reporter)
    run.fit()
    assert set(run.metrics) == {"best_epoch", "train", "validation", "test"}


def spoilt(records, seed):
    """in0, its in1, and hard negatives: the in1 but for one token, which no in1 has."""
    rng = np.random.default_rng(seed)
    in0 = rng.integers(1, 15, (records, 2))
    good, bad = rng.integers(0, 4, (2, records))
    return in0, *(np.column_stack([in0 + 14, 30 + end]) for end in (good, 4 + bad))


def fit_spoilt(**objective):
    """A run on pairs whose hard negatives no other pair of a batch stands for."""
    in0, right, wrong = spoilt(160, 0)
    negatives = Negatives.of(wrong[:, None].tolist())
    data = Dataset(Ragged.of(in0), Ragged.of(right), np.ones(160, np.float32), negatives=negatives)
    config = replace(CONFIG, epochs=3, objective=InBatchObjective(**objective))
    run = Run(config, data, related(16, 1), reporter=Reporter(stream=io.StringIO()))
    run.fit()
    return run


def test_hard_negatives_teach_what_other_pairs_do_not():
    shares = []
    for most in (0, 1):
        run = fit_spoilt(negatives_per_pair=most)
        scorer = o2v_jax.Scorer(o2v_jax.Model(run.config, run.params))
        in0, right, wrong = spoilt(100, 9)
        shares.append((scorer.score(in0, right) > scorer.score(in0, wrong)).mean())
    assert shares[0] < 0.8
    assert shares[1] > 0.95


def test_hard_negatives_of_another_objective_are_said_to_be_unused(caplog):
    data = replace(related(20, 0), negatives=Negatives.of([[[1]]] * 20))
    for objective in (None, InBatchObjective()):
        caplog.clear()
        Run(replace(CONFIG, objective=objective), data)
        unused = "negatives of the training records are not used" in caplog.text
        assert unused == (objective is None)
