"""What is searched: documented and given ranges, and how the hyperparameters' rules bound them."""

import math

import optuna
import pytest

from o2v_jax.errors import InputError
from o2v_jax.hyperparameters.table import Hyperparameters
from o2v_jax.hyperparameters.values import lines_of
from o2v_jax.tuning import DEFAULT_SEARCH, DOCUMENTED, make_space
from o2v_jax.tuning.ranges import Values, read_range


def drawn(space, count=200):
    """Many values of a space as a sampler draws them, with the configuration of each."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=3))
    found = [space.convert(study.ask(space.distributions).params) for _ in range(count)]
    return found, [space.make_candidate(values) for values in found]


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


@pytest.mark.parametrize("name", DOCUMENTED)
def test_documented_ranges_are_valid_and_what_is_drawn_lies_within(name, config_of):
    _, searched = read_range(name)
    network = "bilstm" if name.endswith("_layers") else "hcnn"
    base = config_of(enc0_network=network, enc1_network=network, enc_dim=24)
    found, configs = drawn(make_space(base, [name]))
    values = [getattr(config, name) for config in configs]
    assert values == [row[name] for row in found]
    if isinstance(searched, Values):
        assert set(values) == set(searched.values)
    else:
        assert searched.low <= min(values) <= max(values) <= searched.high
        assert len(set(values)) > (searched.high - searched.low if searched.high < 9 else 9)


def test_sizes_and_rates_are_drawn_by_their_magnitude(config_of):
    space = make_space(config_of(), ["learning_rate", "mini_batch_size", "dropout"])
    found, _ = drawn(space)
    below = [sum(row[name] < bound for row in found) for name, bound in MIDDLES.items()]
    assert all(70 < count < 130 for count in below), below


MIDDLES = {"learning_rate": 1e-3, "mini_batch_size": math.sqrt(8192), "dropout": 0.5}


def test_weight_decay_can_be_nothing_and_little(config_of):
    found, _ = drawn(make_space(config_of(), ["weight_decay"]))
    values = [row["weight_decay"] for row in found]
    assert 10 < values.count(0.0) < 60
    assert 1e-6 <= min(filter(None, values)) < 1e-5
    assert max(values) > 0.1


@pytest.mark.parametrize(
    ("base", "settings", "step"),
    [
        ({"enc0_layers": 4}, ["enc_dim=8..100"], 4),
        ({"enc0_network": "bilstm"}, ["enc_dim=8..100"], 2),
        ({"enc0_network": "pooled_embedding"}, ["enc_dim=8..100"], 1),
        (
            {"enc1_network": "hcnn", "enc0_layers": 3, "enc1_layers": 2, "enc_dim": 12},
            ["enc_dim"],
            6,
        ),
        ({"enc0_layers": 4}, ["enc0_layers", "enc_dim"], 12),
    ],
)
def test_enc_dim_is_drawn_so_that_it_divides(base, settings, step, config_of):
    found, configs = drawn(make_space(config_of(**base), settings))
    assert math.gcd(*(row["enc_dim"] for row in found)) == step
    assert {config.enc_dim for config in configs} == {row["enc_dim"] for row in found}


def test_row_sparse_searches_only_the_optimizers_it_allows(config_of):
    base = config_of(token_embedding_storage_type="row_sparse")
    for settings in ([], ["optimizer"]):
        assert make_space(base, settings).ranges["optimizer"].values == ("adagrad", "adam", "sgd")
    with pytest.raises(InputError, match=r"=adam,rmsprop: optimizer=rmsprop: .*row_sparse"):
        make_space(base, ["optimizer=adam,rmsprop"])


def test_enc1_follows_enc0_where_it_copies_it(config_of):
    space = make_space(config_of(enc_dim=12), ["enc0_layers", "enc0_token_embedding_dim=4..8"])
    for config in drawn(space)[1]:
        assert config.enc1_layers == config.enc0_layers
        assert config.enc1_token_embedding_dim == config.enc0_token_embedding_dim


def test_tied_tables_keep_one_width(config_of):
    base = config_of(enc1_network="hcnn", tied_token_embedding_weight=True)
    for config in drawn(make_space(base, ["enc0_token_embedding_dim=4..8"]))[1]:
        assert config.enc1_token_embedding_dim == config.enc0_token_embedding_dim


def test_the_default_search_leaves_out_what_changes_nothing(config_of):
    assert tuple(make_space(config_of()).ranges) == DEFAULT_SEARCH
    pretrained = {"enc0_pretrained_embedding_file": "v.txt", "enc0_vocab_file": "v.json"}
    pooled = config_of(enc0_network="pooled_embedding", **pretrained)
    assert "enc_dim" not in make_space(pooled).ranges


def test_trials_say_nothing_on_the_way(config_of, caplog):
    base = config_of(enc0_network="pooled_embedding", enc0_token_embedding_dim=300)
    caplog.clear()
    drawn(make_space(base))
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("enc_dims", "enc_dims is not tunable; the nearest tunable name is enc_dim"),
        ("enc0_max_seq_len", "is not tunable"),
        ("banana", "--tune banana is not tunable"),
        (
            "enc_dim=2..9",
            "enc_dim='2': must be an integer in 4..10000; the nearest valid value is 4",
        ),
        ("enc_dim=9..4", "must begin below where it ends"),
        ("enc_dim=5..7", "holds no multiple of 4, which its networks need"),
        ("enc_dim=8,9", "enc_dim=8,9: enc_dim=9: must be a multiple of 4"),
        ("enc_dim=8", "must be LOW..HIGH or different values"),
        ("enc_dim=8,8", "must be LOW..HIGH or different values"),
        ("enc_dim=", "enc_dim='': must be an integer"),
        ("learning_rate=1e-3..2", "learning_rate='2': must be a number in 1e-06..1"),
        ("enc0_layers=auto,2", "enc0_layers='auto': must be"),
        ("enc0_layers", "enc0_layers=1..4: enc_dim=8: must be a multiple of 3"),
        ("optimizer=adam,adamw", "optimizer='adamw': must be one of adadelta"),
        ("optimizer=adam..sgd", "takes names, such as adagrad,adam"),
        ("enc1_layers=1,2", "enc1_network=enc0 copies it: tune enc0_layers"),
        ("dropout", "dropout: is named twice"),
    ],
)
def test_wrong_settings_are_refused_before_any_trial(setting, message, config_of):
    settings = [setting, "dropout=0..0.5"] if setting == "dropout" else [setting]
    with pytest.raises(InputError) as refused:
        make_space(config_of(), settings)
    assert message in str(refused.value)
    assert str(refused.value).startswith("--tune ")


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("enc0_token_embedding_dim", {"enc0_network": "pooled_embedding"}),
        ("enc0_layers", {"enc0_network": "pooled_embedding"}),
        ("enc0_cnn_filter_width", {"enc0_network": "bilstm"}),
        ("mlp_dim", {"mlp_layers": 0}),
        ("mlp_activation", {"mlp_layers": 0}),
        ("enc0_token_embedding_dim", {"enc0_pretrained_embedding_file": "v.txt"}),
        ("enc1_token_embedding_dim", {"enc1_network": "hcnn", "tied_token_embedding_weight": True}),
    ],
)
def test_what_changes_nothing_is_refused(name, base, config_of):
    with pytest.raises(InputError, match=f"--tune {name}: "):
        make_space(config_of(**base), [name])


def test_documented_names_are_hyperparameters_and_the_default_search_is_documented():
    assert set(DOCUMENTED) <= set(lines_of(Hyperparameters))
    assert set(DEFAULT_SEARCH) <= set(DOCUMENTED)
