import numpy as np
import pytest

from o2v_jax import InputError
from o2v_jax.scoring import layout
from o2v_jax.scoring.shapes import ACCELERATOR, CPU, Machine

DIFFERENT = {"enc0_network": "hcnn", "enc1_network": "bilstm"}
LONG = {"enc0_max_seq_len": 5000, "enc1_max_seq_len": 5000}
MACHINES = [CPU, ACCELERATOR]


def lengths(mean, longest):
    return np.bincount(np.random.default_rng(0).poisson(mean, 9000), minlength=longest + 1)


@pytest.mark.parametrize("machine", MACHINES)
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
def test_at_most_eighty_programs(config_of, encoders, fitted, machine):
    histograms = (lengths(14, 90), lengths(8, 90)) if fitted else None
    found = layout(config_of(**encoders), histograms, machine=machine)
    assert 10 <= len(found.programs()) <= 80
    assert len(set(found.programs())) == len(found.programs())


@pytest.mark.parametrize("most", [21, 24, 30, 60, 200])
@pytest.mark.parametrize("encoders", [{}, DIFFERENT])
def test_max_programs_is_an_upper_bound(config_of, encoders, most):
    assert len(layout(config_of(**encoders), max_programs=most).programs()) <= most


@pytest.mark.parametrize("most", [-1, 0, 1, 10])
def test_a_bound_that_one_rung_a_side_cannot_keep_is_refused(config_of, most):
    with pytest.raises(InputError, match="max_programs"):
        layout(config_of(), max_programs=most)


def test_more_programs_buy_more_rungs(config_of):
    few, many = (layout(config_of(enc0_max_seq_len=82), max_programs=n) for n in (24, 60))
    assert len(few.usual[0].lengths) < len(many.usual[0].lengths)


def test_towers_of_one_structure_share_programs(config_of):
    found = layout(config_of(enc0_max_seq_len=82))
    assert found.towers == ("encoder", "encoder")
    assert found.usual[0] == found.usual[1]
    assert {key[0] for key in found.programs()} == {"encoder", "pairs", "head", "rows"}


def test_another_max_seq_len_does_not_part_the_towers(config_of):
    config = config_of(enc0_max_seq_len=82, enc1_network="hcnn", enc1_max_seq_len=9)
    found = layout(config)
    assert found.towers == ("encoder", "encoder")
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
def test_towers_of_other_structure_have_programs_of_their_own(config_of, difference):
    found = layout(config_of(**({"enc1_network": "hcnn"} | difference)))
    assert found.towers == ("encoder0", "encoder1")
    assert {key[0] for key in found.programs()} == {
        "encoder0",
        "encoder1",
        "pairs",
        "head",
        "rows",
    }


def test_each_side_ends_at_its_own_max_seq_len(config_of):
    config = config_of(**DIFFERENT, enc0_max_seq_len=82, enc1_max_seq_len=300)
    assert [table.lengths[-1] for table in layout(config).usual] == [82, 300]


def test_histograms_move_the_rungs(config_of):
    config = config_of(enc0_max_seq_len=82)
    histograms = (lengths(14, 82), lengths(8, 82))
    plain, fitted = layout(config), layout(config, histograms)
    assert fitted.usual[0].lengths != plain.usual[0].lengths
    assert np.median(fitted.usual[0].lengths[:-1]) < 25


def test_empty_histograms_are_no_histograms(config_of):
    config, nothing = config_of(enc0_max_seq_len=82), np.zeros(83, np.int64)
    assert layout(config, (nothing, nothing)) == layout(config)


@pytest.mark.parametrize("encoders", [{}, DIFFERENT, LONG | DIFFERENT])
def test_beyond_carries_on_to_what_a_request_may_ask_for(config_of, encoders):
    found = layout(config_of(**encoders))
    for usual, beyond in zip(found.usual, found.encode, strict=True):
        assert beyond.lengths[: len(usual.lengths)] == usual.lengths
        assert beyond.lengths[-1] == 5000
    assert not set(found.on_demand()) & set(found.programs())


def test_the_largest_batch_keeps_to_the_token_budget(config_of):
    found = layout(
        config_of(enc0_max_seq_len=82),
        machine=Machine({"hcnn": 1000}, 1e6, 0, table=2**23, lanes=2, base=2),
    )
    assert max(batch * length for _, batch, length in found.programs() if length > 1) <= 1000


@pytest.mark.parametrize("machine", MACHINES)
def test_there_are_programs_for_every_part(config_of, machine):
    found = layout(config_of(), machine=machine)
    few = {"pairs"} if machine.few else set()
    assert {key[0] for key in found.programs()} == {"encoder", "head", "rows"} | few
    assert {key[0] for key in found.first().programs()} == {"encoder", "head", "rows"}
    assert {key[0] for key in found.on_demand()} == {"encoder", "arrays"}


def test_batches_are_powers_of_the_base(config_of):
    found = layout(config_of(enc0_max_seq_len=82), machine=ACCELERATOR)
    sizes = {batch for part, batch, _ in found.programs() if part != "rows"}
    assert sizes <= {4**power for power in range(9)}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_largest_batch_fits_a_table(config_of, machine):
    """Objects of one token and many numbers: the token budget alone would allow gigabytes."""
    wide = config_of(enc0_network="pooled_embedding", enc0_max_seq_len=1, enc_dim=4096)
    found = layout(wide, machine=machine)
    largest = max(batch for part, batch, _ in found.programs() if part == "encoder")
    assert machine.table // 8 / machine.base < largest * 4096 <= machine.table // 2


@pytest.mark.parametrize("machine", MACHINES)
def test_steps_cost_something_where_there_is_a_recurrence(config_of, machine):
    found = layout(config_of(**DIFFERENT), machine=machine)
    for tables in found.usual, found.encode:
        assert [table.step for table in tables] == [0, machine.step]
    assert [table.step for table in found.first().usual] == [0, machine.step]
    assert found.head.step == 0


def test_small_programs_come_first(config_of):
    sizes = [batch * length for _, batch, length in layout(config_of(**DIFFERENT)).programs()]
    assert sizes == sorted(sizes)
