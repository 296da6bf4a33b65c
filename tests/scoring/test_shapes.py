import numpy as np
import pytest

from o2v_jax import InputError
from o2v_jax.scoring import choose_shapes
from o2v_jax.scoring.device_profile import ACCELERATOR, CPU

DIFFERENT = {"enc0_network": "hcnn", "enc1_network": "bilstm"}
LONG = {"enc0_max_seq_len": 5000, "enc1_max_seq_len": 5000}
PROFILES = [CPU, ACCELERATOR]


def lengths(mean, longest):
    return np.bincount(np.random.default_rng(0).poisson(mean, 9000), minlength=longest + 1)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize(
    "encoders",
    [
        {"enc0_max_seq_len": 1},
        {"enc0_max_seq_len": 82},
        {"enc0_max_seq_len": 82, "enc1_max_seq_len": 300, **DIFFERENT},
        {"enc0_max_seq_len": 5000},
        LONG | DIFFERENT,
    ],
)
def test_at_most_eighty_programs(config_of, encoders, fitted, profile):
    histograms = (lengths(14, 90), lengths(8, 90)) if fitted else None
    found = choose_shapes(config_of(**encoders), histograms, profile=profile)
    assert 10 <= len(found.list_programs()) <= 80
    assert len(set(found.list_programs())) == len(found.list_programs())


@pytest.mark.parametrize("most", [21, 24, 30, 60, 200])
@pytest.mark.parametrize("encoders", [{}, DIFFERENT])
def test_max_programs_is_an_upper_bound(config_of, encoders, most):
    assert len(choose_shapes(config_of(**encoders), max_programs=most).list_programs()) <= most


@pytest.mark.parametrize("most", [-1, 0, 1, 10])
def test_a_bound_that_one_bucket_a_side_cannot_keep_is_refused(config_of, most):
    with pytest.raises(InputError, match="max_programs"):
        choose_shapes(config_of(), max_programs=most)


def test_more_programs_buy_more_buckets(config_of):
    narrow, wide = (choose_shapes(config_of(enc0_max_seq_len=82), max_programs=n) for n in (24, 60))
    assert len(narrow.usual[0].lengths) < len(wide.usual[0].lengths)


def test_encoders_of_one_structure_share_programs(config_of):
    found = choose_shapes(config_of(enc0_max_seq_len=82))
    assert found.encoder_names == ("encoder", "encoder")
    assert found.usual[0] == found.usual[1]
    assert {key[0] for key in found.list_programs()} == {"encoder", "pairs", "head", "rows"}


def test_another_max_seq_len_does_not_part_the_encoders(config_of):
    config = config_of(enc0_max_seq_len=82, enc1_network="hcnn", enc1_max_seq_len=9)
    found = choose_shapes(config)
    assert found.encoder_names == ("encoder", "encoder")
    assert found.usual[0].lengths[-1] == 82


@pytest.mark.parametrize(
    "difference",
    [
        {"enc1_vocab_size": 21},
        {"enc1_network": "bilstm"},
        {"enc1_layers": 2},
        {"enc1_cnn_filter_width": 5},
        {"enc1_token_embedding_dim": 5},
    ],
)
def test_encoders_of_other_structure_have_programs_of_their_own(config_of, difference):
    found = choose_shapes(config_of(**({"enc1_network": "hcnn"} | difference)))
    assert found.encoder_names == ("encoder0", "encoder1")
    assert {key[0] for key in found.list_programs()} == {
        "encoder0",
        "encoder1",
        "pairs",
        "head",
        "rows",
    }


def test_each_side_ends_at_its_own_max_seq_len(config_of):
    config = config_of(**DIFFERENT, enc0_max_seq_len=82, enc1_max_seq_len=300)
    assert [table.lengths[-1] for table in choose_shapes(config).usual] == [82, 300]


def test_histograms_move_the_boundaries(config_of):
    config = config_of(enc0_max_seq_len=82)
    histograms = (lengths(14, 82), lengths(8, 82))
    plain, fitted = choose_shapes(config), choose_shapes(config, histograms)
    assert fitted.usual[0].lengths != plain.usual[0].lengths
    assert np.median(fitted.usual[0].lengths[:-1]) < 25


def test_empty_histograms_are_no_histograms(config_of):
    config, nothing = config_of(enc0_max_seq_len=82), np.zeros(83, np.int64)
    assert choose_shapes(config, (nothing, nothing)) == choose_shapes(config)


@pytest.mark.parametrize("encoders", [{}, DIFFERENT, LONG | DIFFERENT])
def test_beyond_carries_on_to_what_a_request_may_ask_for(config_of, encoders):
    found = choose_shapes(config_of(**encoders))
    for usual, beyond in zip(found.usual, found.extended, strict=True):
        assert beyond.lengths[: len(usual.lengths)] == usual.lengths
        assert beyond.lengths[-1] == 5000
    assert not set(found.list_on_demand()) & set(found.list_programs())


def test_the_largest_batch_keeps_to_the_token_budget(config_of):
    found = choose_shapes(
        config_of(enc0_max_seq_len=82),
        profile=CPU._replace(max_tokens={"hcnn": 1000}, call_cost=1e6, fused_batches=()),
    )
    assert max(batch * length for _, batch, length in found.list_programs() if length > 1) <= 1000


@pytest.mark.parametrize("profile", PROFILES)
def test_there_are_programs_for_every_part(config_of, profile):
    found = choose_shapes(config_of(), profile=profile)
    fused = {"pairs"} if profile.fused_batches else set()
    assert {key[0] for key in found.list_programs()} == {"encoder", "head", "rows"} | fused
    assert {key[0] for key in found.make_first().list_programs()} == {"encoder", "head", "rows"}
    assert {key[0] for key in found.list_on_demand()} == {"encoder", "arrays"}


def test_batches_are_powers_of_the_base(config_of):
    found = choose_shapes(config_of(enc0_max_seq_len=82), profile=ACCELERATOR)
    sizes = {batch for part, batch, _ in found.list_programs() if part != "rows"}
    assert sizes <= {4**power for power in range(9)}


@pytest.mark.parametrize("profile", PROFILES)
def test_the_largest_batch_fits_a_table(config_of, profile):
    """Objects of one token and many numbers: the token budget alone would allow gigabytes."""
    wide = config_of(enc0_network="pooled_embedding", enc0_max_seq_len=1, enc_dim=4096)
    found = choose_shapes(wide, profile=profile)
    largest = max(batch for part, batch, _ in found.list_programs() if part == "encoder")
    assert (
        profile.table_numbers // 8 / profile.batch_base
        < largest * 4096
        <= profile.table_numbers // 2
    )


@pytest.mark.parametrize("profile", PROFILES)
def test_steps_cost_something_where_there_is_a_recurrence(config_of, profile):
    found = choose_shapes(config_of(**DIFFERENT), profile=profile)
    for tables in found.usual, found.extended:
        assert [table.step_cost for table in tables] == [0, profile.step_cost]
    assert [table.step_cost for table in found.make_first().usual] == [0, profile.step_cost]
    assert found.head.step_cost == 0


def test_small_programs_come_first(config_of):
    sizes = [
        batch * length for _, batch, length in choose_shapes(config_of(**DIFFERENT)).list_programs()
    ]
    assert sizes == sorted(sizes)
