"""The rules between hyperparameters: what is refused, resolved, copied and logged."""

import logging

import pytest

from o2v_jax.errors import HyperparameterError
from o2v_jax.hyperparameters import Hyperparameters

REQUIRED = {"enc0_max_seq_len": "50", "enc0_vocab_size": "1000"}
BOTH = {**REQUIRED, "enc1_network": "hcnn", "enc1_max_seq_len": "40", "enc1_vocab_size": "900"}
POOLED = {**REQUIRED, "enc0_network": "pooled_embedding", "enc_dim": "1024"}


def read(**changes):
    return Hyperparameters.from_strings({**BOTH, **changes})


def problems(mapping):
    with pytest.raises(HyperparameterError) as caught:
        Hyperparameters.from_strings(mapping)
    return list(caught.value.problems)


def only_problem(mapping):
    (problem,) = problems(mapping)
    return problem


def test_required_values_are_asked_for():
    rule = "is required, but it is missing; give it an integer in"
    expected = [f"enc0_max_seq_len: {rule} 1..5000", f"enc0_vocab_size: {rule} 2..3000000"]
    assert problems({}) == problems({"enc1_network": "enc0"}) == expected
    with pytest.raises(HyperparameterError) as caught:
        Hyperparameters()
    assert list(caught.value.problems) == expected


def test_enc1_needs_its_own_values_unless_it_copies_enc0():
    first, second = problems({**REQUIRED, "enc1_network": "hcnn"})
    assert first.startswith("enc1_max_seq_len: is required unless enc1_network=enc0")
    assert second.startswith("enc1_vocab_size: is required unless enc1_network=enc0")


def test_a_wrong_enc1_network_is_the_only_complaint():
    assert only_problem({**REQUIRED, "enc1_network": "hccn"}).startswith("enc1_network='hccn'")


@pytest.mark.parametrize(("network", "layers"), [
    ("hcnn", 4), ("bilstm", 1), ("pooled_embedding", 0),
])  # fmt: skip
def test_auto_layers_follow_the_network(network, layers):
    made = read(enc0_network=network, enc1_network=network, enc0_layers="auto")
    assert (made.enc0_layers, made.enc1_layers) == (layers, layers)


def test_pooled_embedding_ignores_layers_but_not_a_wrong_value():
    assert Hyperparameters.from_strings({**POOLED, "enc0_layers": "3"}).enc0_layers == 0
    assert "enc0_layers=7" in only_problem({**POOLED, "enc0_layers": "7"})


def test_pooled_token_embedding_dim_becomes_enc_dim_silently_if_none_was_given(caplog):
    made = Hyperparameters.from_strings(POOLED)
    assert (made.enc0_token_embedding_dim, made.enc1_token_embedding_dim) == (1024, 1024)
    assert not caplog.records


def test_one_warning_names_both_values_of_both_sides(caplog):
    sides = {f"enc{side}_token_embedding_dim": "300" for side in (0, 1)}
    read(**sides, enc0_network="pooled_embedding", enc1_network="pooled_embedding", enc_dim="100")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        "inconsistent enc_dim and token_embedding_dim: enc_dim=100, but "
        "enc0_token_embedding_dim=300 and enc1_token_embedding_dim=300; "
        "pooled_embedding has no projection, so setting token embedding dim to be 100"
    )


@pytest.mark.parametrize("side", [0, 1])
def test_pretrained_vectors_of_another_width_than_enc_dim_are_refused(side):
    changes = {"network": "pooled_embedding", "token_embedding_dim": "300",
               "pretrained_embedding_file": "glove.txt"}  # fmt: skip
    changes = {f"enc{side}_{name}": value for name, value in changes.items()}
    assert only_problem({**BOTH, "enc_dim": "100", **changes}) == (
        f"enc{side}_token_embedding_dim=300: must equal enc_dim=100, because enc{side} is a "
        f"pooled_embedding with enc{side}_pretrained_embedding_file=glove.txt; set enc_dim=300 "
        "or use vectors of dimension 100"
    )
    assert read(**changes, enc_dim="300").encoder(side).token_embedding_dim == 300


def test_enc1_copies_every_value_of_enc0():
    own = {"max_seq_len": 7, "vocab_size": 99, "layers": 2, "cnn_filter_width": 5,
           "token_embedding_dim": 30, "pretrained_embedding_file": "glove.txt",
           "freeze_pretrained_embedding": False, "vocab_file": "vocab.json"}  # fmt: skip
    made = Hyperparameters(**{f"enc0_{name}": value for name, value in own.items()})
    assert {name: getattr(made, f"enc1_{name}") for name in own} == own
    assert made.encoder(1) == made.encoder(0)


@pytest.mark.parametrize(("name", "value", "copied"), [
    ("max_seq_len", "51", "50"),
    ("vocab_size", "28", "1000"),
    ("layers", "2", "4"),
    ("cnn_filter_width", "1", "3"),
    ("token_embedding_dim", "10", "300"),
    ("pretrained_embedding_file", "glove.txt", "''"),
    ("freeze_pretrained_embedding", "False", "True"),
    ("vocab_file", "auto", "''"),
])  # fmt: skip
def test_an_enc1_value_that_contradicts_the_copied_one_is_refused(name, value, copied):
    assert only_problem({**REQUIRED, f"enc1_{name}": value}) == (
        f"enc1_{name}={value}: contradicts enc0_{name}={copied}, which enc1_network=enc0 copies; "
        f"set enc1_network=hcnn to give enc1 its own values, or leave enc1_{name} out"
    )


def test_an_enc1_value_that_agrees_is_fine():
    same = {"enc1_max_seq_len": "50", "enc1_vocab_size": "1000", "enc1_token_embedding_dim": "300"}
    given = {**POOLED, **same, "enc0_token_embedding_dim": "300", "enc1_layers": "auto"}
    assert Hyperparameters.from_strings(given) == Hyperparameters.from_strings(POOLED)
    for layers in ("auto", "2"):
        mapping = {**REQUIRED, "enc0_layers": "2", "enc1_layers": layers}
        assert Hyperparameters.from_strings(mapping).enc1_layers == 2


@pytest.mark.parametrize("name", ["enc0_network", "enc_dim"])
def test_what_depends_on_a_wrong_value_is_not_complained_about(name):
    mapping = {**POOLED, "enc1_layers": "4", "enc1_token_embedding_dim": "300", "enc0_layers": "4"}
    assert only_problem({**mapping, name: "x"}).startswith(f"{name}='x'")


@pytest.mark.parametrize(("changes", "step", "reason", "near"), [
    ({"enc_dim": "10"}, 4, "enc0's hcnn of 4 layers and enc1's hcnn of 4 layers", "8 or 12"),
    ({"enc_dim": "16", "enc0_layers": "3", "enc1_network": "bilstm"},
     6, "enc0's hcnn of 3 layers and enc1's bilstm of 2 directions", "12 or 18"),
    ({"enc_dim": "5", "enc0_layers": "3", "enc1_network": "pooled_embedding"},
     3, "enc0's hcnn of 3 layers", "6"),
    ({"enc_dim": "10000", "enc0_layers": "3", "enc1_layers": "4"},
     12, "enc0's hcnn of 3 layers and enc1's hcnn of 4 layers", "9996"),
])  # fmt: skip
def test_enc_dim_must_divide_as_both_networks_need(changes, step, reason, near):
    assert only_problem({**BOTH, **changes}) == (
        f"enc_dim={changes['enc_dim']}: must be a multiple of {step} for {reason}; "
        f"set it to {near}, the nearest valid"
    )


def test_an_odd_enc_dim_does_for_pooled_embedding_alone():
    assert Hyperparameters.from_strings({**POOLED, "enc_dim": "301"}).enc_dim == 301


@pytest.mark.parametrize(("name", "first", "second", "more"), [
    ("vocab_size", "1000", "900", {"enc1_vocab_size": "900"}),
    ("token_embedding_dim", "300", "64",
     {"enc1_network": "pooled_embedding", "enc_dim": "64"}),
    ("pretrained_embedding_file", "''", "a.txt", {"enc1_pretrained_embedding_file": "a.txt"}),
    ("freeze_pretrained_embedding", "True", "False",
     {"enc0_pretrained_embedding_file": "a.txt", "enc1_pretrained_embedding_file": "a.txt",
      "enc1_freeze_pretrained_embedding": "False"}),
])  # fmt: skip
def test_tied_token_embeddings_must_be_equal(name, first, second, more):
    mapping = {**BOTH, "enc1_vocab_size": "1000", "tied_token_embedding_weight": "true", **more}
    found = problems(mapping)
    assert f"enc1_{name}={second}: must equal enc0_{name}={first}, because" in found[0]
    assert all("make them equal or set tied_token_embedding_weight=False" in said for said in found)
    assert Hyperparameters.from_strings({**mapping, "tied_token_embedding_weight": "false"})


def test_tied_tables_without_pretrained_vectors_may_differ_in_what_is_said_of_those():
    changes = {"tied_token_embedding_weight": "true", "enc1_vocab_size": "1000"}
    assert read(**changes, enc1_freeze_pretrained_embedding="false").tied_token_embedding_weight


def test_tied_widths_are_not_compared_while_enc_dim_is_wrong():
    changes = {"tied_token_embedding_weight": "true", "enc1_vocab_size": "1000", "enc_dim": "3"}
    pooled = {"enc0_network": "pooled_embedding"}
    assert only_problem({**BOTH, **changes, **pooled}).startswith("enc_dim=3:")


@pytest.mark.parametrize("optimizer", ["adadelta", "adagrad", "adam", "sgd", "rmsprop"])
def test_row_sparse_allows_three_optimizers(optimizer):
    mapping = {**BOTH, "optimizer": optimizer, "token_embedding_storage_type": "row_sparse"}
    if optimizer in {"adam", "adagrad", "sgd"}:
        assert Hyperparameters.from_strings(mapping).optimizer == optimizer
    else:
        allowed = f"optimizer={optimizer}: token_embedding_storage_type=row_sparse allows only "
        assert only_problem(mapping).startswith(allowed + "adam, adagrad, sgd;")


def test_row_sparse_turns_bucketing_off_with_one_log_line(caplog):
    made = read(token_embedding_storage_type="row_sparse", bucket_width="10")
    assert made.bucket_width == 0
    (record,) = caplog.records
    assert record.getMessage().startswith("bucket_width=10 becomes 0")
    assert read(bucket_width="10").bucket_width == 10
