"""The table of hyperparameters: every line, every rule between lines, every message."""

import dataclasses
import json
import logging
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o2v_jax.errors import HyperparameterError, InputError
from o2v_jax.hyperparameters import EncoderConfig, Hyperparameters, hyperparameter_table

DATA = Path(__file__).parent
MAPS = sorted((DATA / "examples").glob("*.json"))
REQUIRED = {"enc0_max_seq_len": "50", "enc0_vocab_size": "1000"}
BOTH = {**REQUIRED, "enc1_network": "hcnn", "enc1_max_seq_len": "40", "enc1_vocab_size": "900"}
HUGE = "9" * 5000

# The documented table, written down once more by hand: name -> default and valid values.
TABLE = json.loads((DATA / "table.json").read_text())
NUMBERS = {name: line for name, line in TABLE.items() if "rule" in line}
INTEGERS = [name for name, line in NUMBERS.items() if "integer" in line["rule"]]
CHOICES = {name: line["choices"] for name, line in TABLE.items() if "choices" in line}
FLAGS = [name for name, line in TABLE.items() if line.get("kind") == "flag"]
FILES = [name for name, line in TABLE.items() if line.get("kind") == "file"]
AUTO = {"enc0_layers", "enc1_layers"}


def read(**changes):
    return Hyperparameters.from_strings({**BOTH, **changes})


def problems(mapping):
    with pytest.raises(HyperparameterError) as caught:
        Hyperparameters.from_strings(mapping)
    return list(caught.value.problems)


def only_problem(mapping):
    (problem,) = problems(mapping)
    return problem


def stored(name, text):
    """A map in which the value reads, whatever the rules between values are."""
    return getattr(read(**{"enc_dim": "12", name: text}), name)


def ascii_id(value):
    return type(value).__name__


def test_every_documented_line_is_there_in_its_order_with_its_default():
    rows = [(row.name, row.default.strip("'")) for row in hyperparameter_table()]
    assert rows == [(name, line["default"]) for name, line in TABLE.items()]


@pytest.mark.parametrize("name", NUMBERS)
def test_rules_are_told_in_words(name):
    (row,) = (row for row in hyperparameter_table() if row.name == name)
    assert row.rule == NUMBERS[name]["rule"]


@pytest.mark.parametrize("name", [name for name in TABLE if name not in {*BOTH, *AUTO}])
def test_a_default_is_what_a_value_left_out_becomes(name):
    default = TABLE[name]["default"]
    assert getattr(read(), name) == getattr(read(**{name: default}), name)
    assert read().to_strings()[name] == default


@pytest.mark.parametrize(("name", "text"), [
    (name, line[end]) for name, line in NUMBERS.items() for end in ("low", "high")
])  # fmt: skip
def test_both_bounds_are_accepted(name, text):
    assert float(stored(name, text)) == float(text)


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(("outside", "bound"), [("below", "low"), ("above", "high")])
def test_just_outside_is_refused_with_value_rule_and_nearest(name, outside, bound):
    line = NUMBERS[name]
    assert only_problem({**BOTH, name: line[outside]}) == (
        f"{name}={line[outside]}: must be {line['rule']}; the nearest valid value is {line[bound]}"
    )


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "", "1_0", "0x10", "\u0661", HUGE])
def test_what_is_no_finite_number_is_refused(name, text):
    assert only_problem({**BOTH, name: text}).startswith(f"{name}=")


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("text", ["3.0", "1e3", "4.", "two"])
def test_an_integer_is_written_as_an_integer(name, text):
    said = only_problem({**BOTH, name: text})
    assert said.startswith(f"{name}='{text}': must be {NUMBERS[name]['rule']}")


@pytest.mark.parametrize(("name", "value"), [(n, v) for n, vs in CHOICES.items() for v in vs])
def test_every_choice_is_accepted(name, value):
    base = REQUIRED if value == "enc0" else BOTH
    assert getattr(Hyperparameters.from_strings({**base, name: value}), name) == value


@pytest.mark.parametrize(("name", "names"), CHOICES.items())
def test_a_wrong_choice_names_the_valid_ones_and_the_nearest(name, names):
    rule = f"must be one of {', '.join(names)}"
    expected = f"{name}='{names[-1]}x': {rule}; the nearest valid value is {names[-1]}"
    assert only_problem({**BOTH, name: names[-1] + "x"}) == expected
    assert only_problem({**BOTH, name: "?"}).endswith(
        f"{rule}; the default is {TABLE[name]['default']}"
    )


@pytest.mark.parametrize("name", FLAGS)
def test_flags_are_read_in_any_case_and_nothing_else_is(name):
    texts = ["true", "True", " TRUE ", "false", "False", " false "]
    assert [stored(name, text) for text in texts[3:]] == [False] * 3
    tied = {"enc1_vocab_size": "1000"}
    assert [getattr(read(**tied, **{name: text}), name) for text in texts[:3]] == [True] * 3
    said = only_problem({**BOTH, name: "no"})
    assert said == f"{name}='no': must be True or False; the nearest valid value is False"
    assert only_problem({**BOTH, name: 1}).startswith(f"{name}=1: must be True or False")


@pytest.mark.parametrize("name", FILES)
def test_file_names_are_plain(name):
    assert stored(name, " glove.840B_300d.txt ") == "glove.840B_300d.txt"
    assert stored(name, "") == ""
    said = only_problem({**BOTH, name: "dir/my vectors.txt"})
    rule = "must be empty or a file name of letters, digits, '.' and '_' only"
    hint = "the nearest valid value is my_vectors.txt"
    assert said == f"{name}='dir/my vectors.txt': {rule}; {hint}"


@pytest.mark.parametrize("text", ["..", ".", "../x", "a/b", "ä.txt", "a\nb", "a-b", "/"])
def test_a_file_name_cannot_leave_its_channel(text):
    assert "enc0_vocab_file=" in only_problem({**BOTH, "enc0_vocab_file": text})


@pytest.mark.parametrize(("text", "expected"), [
    ("hadamard", ("hadamard",)),
    ("abs_diff,hadamard", ("abs_diff", "hadamard")),
    (" concat ,  abs_diff, hadamard ", ("concat", "abs_diff", "hadamard")),
    (["concat"], ("concat",)),
])  # fmt: skip
def test_comparators_come_in_any_combination_and_order(text, expected):
    assert read(comparator_list=text).comparator_list == expected


@pytest.mark.parametrize(("text", "hint"), [
    ("", "the default is hadamard, concat, abs_diff"),
    ("hadamard,hadamard", "the nearest valid value is hadamard"),
    ("abs_dif, hadamar", "the nearest valid value is abs_diff, hadamard"),
    ("concat,", "the nearest valid value is concat"),
    (7, "the default is hadamard, concat, abs_diff"),
])  # fmt: skip
def test_an_empty_repeated_or_unknown_comparator_is_refused(text, hint):
    rule = "a comma-separated list of hadamard, concat, abs_diff, each at most once, not empty"
    said = only_problem({**BOTH, "comparator_list": text})
    assert said == f"comparator_list={text!r}: must be {rule}; {hint}"


def test_negative_sampling_rate_has_no_upper_bound_and_goes_with_every_head():
    assert read(negative_sampling_rate="100000").negative_sampling_rate == 100000
    assert read(negative_sampling_rate="3", output_layer="mean_squared_error").outputs == 1
    assert read(negative_sampling_rate="3", num_classes="5").outputs == 5
    said = only_problem({**BOTH, "negative_sampling_rate": "-1"})
    rule = "must be an integer of at least 0; the nearest valid value is 0"
    assert said == f"negative_sampling_rate=-1: {rule}"
    assert "the default is 0" in only_problem({**BOTH, "negative_sampling_rate": "1e999"})


def test_values_of_json_are_read_as_texts_are():
    typed = read(epochs=5, dropout=0, learning_rate=0.5, enc0_freeze_pretrained_embedding=False)
    texts = read(epochs="5", dropout="0", learning_rate=".5",
                 enc0_freeze_pretrained_embedding="False")  # fmt: skip
    assert typed == texts
    assert isinstance(typed.dropout, float)


@pytest.mark.parametrize(
    "value", [True, None, 3.0, [3], float("nan"), 10**400, -(10**5000)], ids=ascii_id
)
@pytest.mark.parametrize("name", ["epochs", "optimizer", "enc0_layers", "enc0_vocab_file"])
def test_a_value_of_another_type_is_refused_not_defaulted(name, value):
    assert only_problem({**BOTH, name: value}).startswith(f"{name}=")


@pytest.mark.parametrize("value", [True, None, "0.1", float("inf"), float("nan"), 10**400])
def test_a_number_of_another_type_is_refused(value):
    with pytest.raises(HyperparameterError, match=r"^dropout=.*: must be a number in 0\.\.1"):
        Hyperparameters(enc0_max_seq_len=1, enc0_vocab_size=2, dropout=value)


@pytest.mark.parametrize("mapping", [None, [], "epochs", 3])
def test_what_is_no_map_is_refused(mapping):
    assert only_problem(mapping) == f"hyperparameters={mapping!r}: must be a map of names to values"


def test_all_problems_of_a_map_are_reported_together():
    found = problems({
        "enc0_vocab_size": "1",
        "enc1_network": "bilstm",
        "enc1_max_seq_len": "9",
        "enc1_vocab_size": "10",
        "enc_dim": "9",
        "optimizer": "adm",
        "epoch": "3",
        "token_embedding_storage_type": "row_sparse",
        "tied_token_embedding_weight": "true",
        "enc1_token_embedding_dim": "200",
    })  # fmt: skip
    assert [problem.split("=")[0].split(":")[0] for problem in found] == [
        "'epoch' is not a hyperparameter; the nearest valid name is epochs",
        "enc0_max_seq_len",
        "enc0_vocab_size",
        "optimizer",
        "enc1_token_embedding_dim",
        "enc_dim",
    ]


def test_the_typed_constructor_raises_the_same_sentences():
    mapping = {"enc0_vocab_size": "1", "enc_dim": "10", "enc1_cnn_filter_width": "5"}
    typed = {name: int(text) for name, text in mapping.items()}
    with pytest.raises(HyperparameterError) as caught:
        Hyperparameters(**typed)
    assert list(caught.value.problems) == problems(mapping)
    assert str(caught.value).count("\n") == len(caught.value.problems) - 1 == 3


def test_the_typed_constructor_takes_typed_values_only():
    with pytest.raises(HyperparameterError, match=r"^epochs='5': must be an integer in 1\.\.100"):
        Hyperparameters(enc0_max_seq_len=1, enc0_vocab_size=2, epochs="5")
    with pytest.raises(TypeError):
        Hyperparameters(enc0_max_seq_len=1, enc0_vocab_size=2, epoch=5)


@pytest.mark.parametrize(("name", "nearest"), [
    ("enc0_vocabsize", "enc0_vocab_size"),
    ("max_seq_len", "enc0_max_seq_len"),
    ("Epochs", "epochs"),
    ("comparators", "comparator_list"),
    ("batch_size", "mini_batch_size"),
])  # fmt: skip
def test_an_unknown_name_is_answered_with_the_nearest_valid_one(name, nearest):
    expected = f"{name!r} is not a hyperparameter; the nearest valid name is {nearest}"
    assert only_problem({**BOTH, name: "1"}) == expected


@pytest.mark.parametrize("name", ["?", "banana", "seed", "momentum"])
def test_where_nothing_is_near_no_name_is_suggested(name):
    assert only_problem({**BOTH, name: "1"}) == f"{name!r} is not a hyperparameter"
    assert "nearest" not in only_problem({**BOTH, "enc0_network": "transformer"})
    assert "nearest" not in only_problem({**BOTH, "enc0_layers": "deep"})
    assert only_problem({**BOTH, "enc0_layers": "autom"}).endswith("valid value is auto")


@pytest.mark.parametrize(("text", "meant"), [("on", True), ("off", False), ("yes", True)])
def test_other_words_for_flags_are_near_what_they_mean(text, meant):
    said = only_problem({**BOTH, "tied_token_embedding_weight": text})
    assert said.endswith(f"the nearest valid value is {meant}")


def test_quoted_values_are_those_of_the_sdk():
    """`json.dumps` of every value, as SageMaker's Python SDK writes them."""
    plain = {**BOTH, "enc0_network": "bilstm", "enc0_vocab_file": "words.json"}
    quoted = {name: json.dumps(value) for name, value in plain.items()}
    listed = {"comparator_list": '["concat", "abs_diff"]', "tied_token_embedding_weight": '"false"'}
    read = Hyperparameters.from_strings(quoted | listed)
    assert read == Hyperparameters.from_strings(plain | {"comparator_list": "concat, abs_diff"})
    assert "optimizer='sdg'" in only_problem({**BOTH, "optimizer": '"sdg"'})
    assert "optimizer='\"adam'" in only_problem({**BOTH, "optimizer": '"adam'})
    assert "epochs=[5]" in only_problem({**BOTH, "epochs": "[5]"})


def test_the_sdks_own_names_are_passed_over_with_one_log_line(caplog):
    caplog.set_level(logging.INFO, "o2v_jax")
    own = {"sagemaker_program": '"train.py"', "sagemaker_region": '"eu-west-1"'}
    assert Hyperparameters.from_strings({**BOTH, **own}) == Hyperparameters.from_strings(BOTH)
    said = "ignored SageMaker's own hyperparameters sagemaker_program, sagemaker_region"
    assert caplog.messages == [said]
    Hyperparameters.from_strings({**BOTH, **{f"_{n}": "" for n in range(9999)}})
    assert caplog.messages[1].endswith("_19 and 9979 more")


@pytest.mark.parametrize("name", ["HyperParameters", "StaticHyperParameters", "hyperparameters"])
def test_a_map_within_another_is_pointed_at(name):
    answer = {"TrainingJobName": "job", "TrainingJobArn": "arn", name: BOTH, "ResourceConfig": {}}
    said = "this is not a map of hyperparameters, but holds one: give its " + name
    assert only_problem(answer) == said


def test_many_unknown_names_are_not_each_compared_with_all(monkeypatch):
    compared = []
    monkeypatch.setattr(
        "o2v_jax.hyperparameters.draft.find_closest", lambda name, _: compared.append(name)
    )
    with pytest.raises(HyperparameterError) as caught:
        Hyperparameters.from_strings({**BOTH, **{f"x{n}": "1" for n in range(50_000)}})
    assert len(caught.value.problems) == 50_000
    assert len(compared) <= 50
    assert len(str(caught.value)) < 5_000
    assert str(caught.value).endswith("and 49,950 more")


def test_internal_names_are_ignored_with_one_log_line(caplog):
    caplog.set_level(logging.INFO, "o2v_jax")
    assert read(_kvstore="device", _num_gpus="auto") == read()
    (record,) = caplog.records
    assert record.getMessage().endswith("_kvstore, _num_gpus")


@pytest.mark.parametrize(("changes", "outputs"), [
    ({}, 2),
    ({"num_classes": "7"}, 7),
    ({"num_classes": "7", "output_layer": "mean_squared_error"}, 1),
])  # fmt: skip
def test_outputs_are_the_classes_or_one_for_regression(changes, outputs):
    assert read(**changes).outputs == outputs


def test_encoder_gives_each_side_its_own_values():
    made = read(enc1_network="bilstm", enc1_cnn_filter_width="5", dropout="0.5", enc_dim="16",
                enc1_token_embedding_dim="20")  # fmt: skip
    shared = {"enc_dim": 16, "dropout": 0.5}
    assert made.encoder(0) == EncoderConfig(
        **shared, network="hcnn", max_seq_len=50, vocab_size=1000, token_embedding_dim=300,
        layers=4, cnn_filter_width=3,
    )  # fmt: skip
    assert made.encoder(1) == EncoderConfig(
        **shared, network="bilstm", max_seq_len=40, vocab_size=900, token_embedding_dim=20,
        layers=1, cnn_filter_width=5,
    )  # fmt: skip
    with pytest.raises(InputError, match="side=2: an encoder's side must be 0 or 1"):
        made.encoder(2)


def test_mlp_without_hidden_layers_is_legal():
    assert read(mlp_layers="0").mlp_layers == 0


@pytest.mark.parametrize(("name", "networks", "classes"), [
    ("document-embedding", ("pooled_embedding", "pooled_embedding"), 2),
    ("genre", ("hcnn", "hcnn"), 2),
    ("movie-rating", ("pooled_embedding", "pooled_embedding"), 1),
    ("movie-recommendation", ("pooled_embedding", "pooled_embedding"), 2),
    ("sentence-similarity", ("hcnn", "hcnn"), 3),
])  # fmt: skip
def test_real_configurations_load(name, networks, classes):
    path = next(path for path in MAPS if path.stem == name)
    made = Hyperparameters.from_strings(json.loads(path.read_text()))
    assert (made.encoder(0).network, made.encoder(1).network) == networks
    assert made.outputs == classes


@pytest.mark.parametrize("path", MAPS, ids=lambda path: path.stem)
def test_a_loaded_configuration_survives_writing_and_replacing_silently(path, caplog):
    made = Hyperparameters.from_strings(json.loads(path.read_text()))
    caplog.clear()
    assert Hyperparameters.from_strings(made.to_strings()) == made
    assert dataclasses.replace(made) == made
    assert dataclasses.replace(made, epochs=99) != made
    assert not caplog.records


def test_every_value_survives_writing():
    unusual = {"comparator_list": "abs_diff,concat", "learning_rate": "0.1234567890123",
               "weight_decay": "1e-12", "enc0_vocab_file": "v.json",
               "enc1_freeze_pretrained_embedding": "false"}  # fmt: skip
    made = read(**unusual)
    assert made != read()
    assert Hyperparameters.from_strings(made.to_strings()) == made
    assert made.learning_rate == 0.1234567890123


def test_configurations_are_frozen_and_hashable():
    made = read()
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.epochs = 3
    assert len({made, read(), read(epochs="3")}) == 2


texts = st.one_of(
    st.text(string.printable + "\u0661\u2028\ud800"),
    st.integers().map(str),
    st.floats().map(str),
    st.integers(0, 20).map(str),
    st.sampled_from(["", " ", "auto", "true", "FALSE", "enc0", "pooled_embedding", "bilstm"]),
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(TABLE)), texts), st.booleans())
def test_any_map_reads_or_raises_its_own_error(changes, complete):
    mapping = {**BOTH, **changes} if complete else changes
    try:
        made = Hyperparameters.from_strings(mapping)
    except HyperparameterError:
        return
    assert Hyperparameters.from_strings(made.to_strings()) == made
