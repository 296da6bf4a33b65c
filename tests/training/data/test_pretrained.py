"""Which vectors go into which rows of which table, what stays frozen, and what is refused."""

import gzip
import json
import logging
import os
from pathlib import Path

import jax
import numpy as np
import pytest

from o2v_jax.cli import _log_to_stderr
from o2v_jax.data.text_tokenizers import TextTokenizer
from o2v_jax.data.vocabulary import Vocabulary
from o2v_jax.errors import HyperparameterError, InputError, O2VError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.model import init
from o2v_jax.training.data.pretrained import find_frozen_rows, insert_pretrained, read_pretrained

DATA = Path(os.environ.get("O2V_DATA", Path(__file__).parents[4] / "shared" / "data")) / "vectors"
GLOVE = "the 1 2 3 4\na 5 6 7 8\n, 0 0 0 0\ndog 9 8 7 6\n"
TOKENS = {"<pad>": 0, "<unk>": 1, "dog": 2, "cat": 3, "the": 9}
NAMED = {"enc0_pretrained_embedding_file": "glove.txt", "enc0_vocab_file": "vocab.json"}
OWN1 = {"enc1_network": "hcnn", "enc1_max_seq_len": 5, "enc1_vocab_size": 10}


def config_of(**settings) -> Hyperparameters:
    defaults = {
        "enc0_max_seq_len": 5,
        "enc0_vocab_size": 10,
        "enc0_token_embedding_dim": 4,
        "enc1_token_embedding_dim": 4,
        "enc_dim": 8,
        "mlp_dim": 4,
    }
    return Hyperparameters(**{**defaults, **NAMED, **settings})


@pytest.fixture
def auxiliary(tmp_path):
    """A directory with vectors and their vocabulary."""
    (tmp_path / "glove.txt").write_text(GLOVE)
    (tmp_path / "vocab.json").write_text(json.dumps(TOKENS))
    return tmp_path


@pytest.fixture
def logged(caplog):
    caplog.set_level(logging.INFO, "o2v_jax")
    return caplog


def refusal(config: Hyperparameters, directory: Path | None, error: type = InputError) -> str:
    with pytest.raises(error) as caught:
        read_pretrained(config, directory)
    return str(caught.value)


def tokens_refusal(auxiliary: Path, tokens: object, **settings) -> str:
    (auxiliary / "vocab.json").write_text(json.dumps(tokens))
    return refusal(config_of(**settings), auxiliary)


def test_a_copied_encoder_has_a_table_of_its_own(auxiliary, logged):
    found = read_pretrained(config_of(), auxiliary)
    assert [item.table for item in found] == ["embed_0", "embed_1"]
    for item in found:
        assert (item.ids.tolist(), item.vectors.tolist()) == ([9, 2], [[1, 2, 3, 4], [9, 8, 7, 6]])
        assert (item.frozen, item.name, item.wanted, item.coverage) == (True, "glove.txt", 4, 0.5)
    line = "2 of 4 vocabulary tokens (50.0 %) have vectors in glove.txt; frozen"
    assert logged.messages == [f"embed_0: {line}", f"embed_1: {line}"]


def test_words_may_be_those_of_a_tokenizer(auxiliary):
    content = TextTokenizer.word_level(Vocabulary(TOKENS)).content
    (auxiliary / "tokenizer.json").write_bytes(content)
    found = read_pretrained(config_of(enc0_vocab_file="tokenizer.json"), auxiliary)
    for one, other in zip(found, read_pretrained(config_of(), auxiliary), strict=True):
        assert one.table == other.table
        np.testing.assert_array_equal(one.ids, other.ids)
        np.testing.assert_array_equal(one.vectors, other.vectors)


def test_tied_tables_are_one(auxiliary):
    config = config_of(tied_token_embedding_weight=True)
    (item,) = read_pretrained(config, auxiliary)
    assert item.table == "embed_shared"
    assert find_frozen_rows(config, [item])["embed_shared"].nonzero()[0].tolist() == [2, 9]


def test_each_side_has_its_own_files(auxiliary, logged):
    (auxiliary / "other.vec").write_bytes(gzip.compress(b"1 6\nKatze 1 1 1 1 1 1\n"))
    (auxiliary / "words.json").write_text('{"Katze": 7}')
    mine = {"enc1_pretrained_embedding_file": "other.vec", "enc1_vocab_file": "words.json"}
    more = {"enc1_token_embedding_dim": 6, "enc1_freeze_pretrained_embedding": False}
    config = config_of(**OWN1, **mine, **more)
    first, second = read_pretrained(config, auxiliary)
    assert (first.table, first.ids.tolist(), first.frozen) == ("embed_0", [9, 2], True)
    assert (second.table, second.ids.tolist(), second.frozen) == ("embed_1", [7], False)
    assert second.vectors.tolist() == [[1] * 6]
    tail = "1 of 1 vocabulary tokens (100.0 %) have vectors in other.vec; fine-tuned"
    assert logged.messages[-1] == f"embed_1: {tail}"
    assert list(find_frozen_rows(config, (first, second))) == ["embed_0"]


@pytest.mark.parametrize("side", [0, 1])
def test_one_side_alone(auxiliary, side):
    files = {name.replace("enc0", f"enc{side}"): file for name, file in NAMED.items()}
    config = config_of(**{**dict.fromkeys(NAMED, ""), **OWN1, **files})
    (item,) = read_pretrained(config, auxiliary)
    assert item.table == f"embed_{side}"


def test_without_files_nothing_is_read():
    config = config_of(**dict.fromkeys(NAMED, ""))
    assert read_pretrained(config, None) == ()
    assert find_frozen_rows(config, ()) == {}


@pytest.mark.parametrize("kind", [jax.device_put, jax.device_get])
def test_vectors_are_put_into_their_rows_and_nothing_else_changes(auxiliary, kind):
    config = config_of()
    before = init(config)
    params = kind(before)
    after = insert_pretrained(params, read_pretrained(config, auxiliary))
    for table in ("embed_0", "embed_1"):
        expected = np.array(before[table]["weight"])
        expected[[9, 2]] = [[1, 2, 3, 4], [9, 8, 7, 6]]
        np.testing.assert_array_equal(after[table]["weight"], expected)
        np.testing.assert_array_equal(params[table]["weight"], before[table]["weight"])
    assert jax.tree.map(type, after) == jax.tree.map(type, params)
    assert all(after[name] is params[name] for name in params if not name.startswith("embed"))


def test_only_rows_from_the_file_are_frozen(auxiliary):
    config = config_of()
    rows = find_frozen_rows(config, read_pretrained(config, auxiliary))
    assert list(rows) == ["embed_0", "embed_1"]
    for frozen in rows.values():
        assert (frozen.dtype, frozen.shape) == (np.bool_, (10,))
        assert frozen.nonzero()[0].tolist() == [2, 9]
    tuned = config_of(enc0_freeze_pretrained_embedding=False)
    assert find_frozen_rows(tuned, read_pretrained(tuned, auxiliary)) == {}


def test_a_vocabulary_without_vectors_is_checked_and_said_to_change_nothing(auxiliary, logged):
    config = config_of(enc0_pretrained_embedding_file="")
    assert read_pretrained(config, auxiliary) == ()
    why = "because enc0_pretrained_embedding_file is not set"
    assert logged.messages == [f"enc0_vocab_file=vocab.json changes nothing, {why}"]
    wrong = tokens_refusal(auxiliary, {"a": 10}, enc0_pretrained_embedding_file="")
    assert wrong == "vocab.json: token 'a' has id 10, but enc0_vocab_size=10 allows 0..9"


def test_words_of_id_0_get_no_vector_and_are_named(auxiliary, logged):
    (auxiliary / "vocab.json").write_text('{"the": 0, "[PAD]": 0, "dog": 4, "a": 0}')
    (item, _) = read_pretrained(config_of(), auxiliary)
    assert (item.ids.tolist(), item.wanted) == ([4], 1)
    said = "vocab.json: id 0 is padding, so its token gets no vector: 'the', 'a'"
    assert logged.messages[0] == said
    assert len(logged.messages) == 3


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ({"cat": -1}, "token 'cat' has id -1, but enc0_vocab_size=10 allows 0..9"),
        ({"cat": 43540}, "token 'cat' has id 43540, but enc0_vocab_size=10 allows 0..9"),
        ({"cat": "7"}, "token 'cat' must have an integer id, but it has '7'"),
        ({"cat": 7.0}, "token 'cat' must have an integer id, but it has 7.0"),
        ({"cat": True}, "token 'cat' must have an integer id, but it has True"),
        ({"cat": 7, "dog": 7}, "tokens 'cat' and 'dog' both have id 7"),
        ({"<pad>": 0}, "must map tokens to ids from 1 on, but holds none"),
        ({}, "must map tokens to ids from 1 on, but holds none"),
    ],
)
def test_wrong_ids_are_refused(auxiliary, tokens, message):
    assert tokens_refusal(auxiliary, tokens) == f"vocab.json: {message}"


def test_every_wrong_token_is_named_up_to_five(auxiliary):
    message = tokens_refusal(auxiliary, {str(at): 10 + at for at in range(8)})
    assert message.count("allows 0..9") == 5
    assert message.endswith("; and 3 more tokens like these")


@pytest.mark.parametrize("content", ["[1]", "{", '{"a": 1, "a": 2}', ""])
def test_what_is_no_json_map_is_refused(auxiliary, content):
    (auxiliary / "vocab.json").write_text(content)
    assert refusal(config_of(), auxiliary).startswith("vocab.json ")


def test_the_second_side_is_named_by_its_own_hyperparameters(auxiliary):
    files = {"enc1_pretrained_embedding_file": "glove.txt", "enc1_vocab_file": "vocab.json"}
    config = config_of(**{**OWN1, "enc1_vocab_size": 9}, **files)
    message = "vocab.json: token 'the' has id 9, but enc1_vocab_size=9 allows 0..8"
    assert refusal(config, auxiliary) == message
    config = config_of(**OWN1, **files, enc1_token_embedding_dim=3)
    assert refusal(config, auxiliary) == "glove.txt:1: 4 numbers, but enc1_token_embedding_dim=3"


def test_vectors_need_a_vocabulary(auxiliary):
    message = refusal(config_of(enc0_vocab_file=""), auxiliary, HyperparameterError)
    assert message == (
        "enc0_pretrained_embedding_file=glove.txt: needs enc0_vocab_file, which maps words to "
        "token ids; set enc0_vocab_file to the name of a JSON map of token to id in the "
        "auxiliary channel"
    )


def test_a_missing_file_says_where_it_must_be(auxiliary, tmp_path):
    must = "the auxiliary directory (in SageMaker the channel auxiliary) must hold"
    glove = f"enc0_pretrained_embedding_file=glove.txt: {must} glove.txt, but"
    assert refusal(config_of(), None) == f"{glove} it was not given"
    nowhere = tmp_path / "nowhere"
    assert refusal(config_of(), nowhere) == f"{glove} {nowhere} is no directory"
    nowhere.mkdir()
    assert refusal(config_of(), nowhere) == f"{glove} {nowhere} is empty"
    (auxiliary / "vocab.json").rename(auxiliary / "words.json")
    vocabulary = f"enc0_vocab_file=vocab.json: {must} vocab.json, but"
    held = f"{auxiliary} holds only glove.txt, words.json"
    assert refusal(config_of(), auxiliary) == f"{vocabulary} {held}"


def test_a_wrong_width_names_the_hyperparameter_that_decides_it(auxiliary):
    wide = config_of(enc0_token_embedding_dim=5, enc1_token_embedding_dim=5)
    assert refusal(wide, auxiliary) == "glove.txt:1: 4 numbers, but enc0_token_embedding_dim=5"
    settings = {"enc0_max_seq_len": 5, "enc0_vocab_size": 10, "enc_dim": 6}
    pooled = Hyperparameters(**settings, enc0_network="pooled_embedding", **NAMED)
    why = "which is also the width of a pooled_embedding's token vectors"
    assert refusal(pooled, auxiliary) == f"glove.txt:1: 4 numbers, but enc_dim=6, {why}"


def test_a_given_width_that_a_pooled_encoder_cannot_have_is_refused_before_any_file():
    settings = {"enc0_max_seq_len": 5, "enc0_vocab_size": 10, "enc_dim": 6}
    with pytest.raises(HyperparameterError, match="must equal enc_dim=6"):
        Hyperparameters(
            **settings, enc0_network="pooled_embedding", enc0_token_embedding_dim=4, **NAMED
        )


def test_vectors_of_other_words_altogether_are_refused(auxiliary):
    message = tokens_refusal(auxiliary, {"The": 1, "Dog": 2, "A": 3, "Cat": 4})
    assert message == (
        "glove.txt: none of its words (such as 'the', 'a', ',') is a token of vocab.json "
        "(such as 'The', 'Dog', 'A'); both must spell words alike, case included"
    )


def test_a_wrong_second_vocabulary_is_found_before_vectors_are_read(auxiliary):
    (auxiliary / "glove.txt").write_text("not vectors")
    (auxiliary / "words.json").write_text('{"a": 99}')
    files = {"enc1_pretrained_embedding_file": "glove.txt", "enc1_vocab_file": "words.json"}
    with pytest.raises(O2VError, match=r"words\.json: token 'a' has id 99"):
        read_pretrained(config_of(**OWN1, **files), auxiliary)


def test_the_command_line_shows_the_coverage(auxiliary, logged, capfd, monkeypatch):
    monkeypatch.setattr(logging.getLogger("o2v_jax"), "handlers", [])
    monkeypatch.setattr(logging.getLogger("o2v_jax"), "propagate", True)
    _log_to_stderr()
    read_pretrained(config_of(tied_token_embedding_weight=True), auxiliary)
    line = "2 of 4 vocabulary tokens (50.0 %) have vectors in glove.txt; frozen"
    assert capfd.readouterr().err == f"o2v: embed_shared: {line}\n"


def test_published_vectors_become_a_table(tmp_path):
    name = "glove.twitter.27B.25d.11925.txt.gz"
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is absent: set O2V_DATA to the folder that holds vectors/")
    (tmp_path / name).symlink_to(DATA / name)
    tokens = {"the": 5, "dog": 2, "THE": 3, "a": 9, "nosuchword": 4}
    (tmp_path / "vocab.json").write_text(json.dumps(tokens))
    width = {"enc0_token_embedding_dim": 25, "enc1_token_embedding_dim": 25}
    config = config_of(enc0_pretrained_embedding_file=name, **width)
    found = read_pretrained(config, tmp_path)
    table = insert_pretrained(init(config), found)["embed_1"]["weight"]
    assert find_frozen_rows(config, found)["embed_1"].nonzero()[0].tolist() == [2, 5, 9]
    start = [-0.010167, 0.020194, 0.21473, 0.17289]  # of the file's first line, that of "the"
    np.testing.assert_array_equal(table[5, :4], np.array(start, np.float32))
