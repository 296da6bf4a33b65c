"""Items of tables: every format gives the same index; errors name file and row."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import o2v_jax
from o2v_jax import Index, ItemTable, Tokenizer, Vocabulary
from o2v_jax.retrieval import Layout

KEYS = ["007", "b", "ü"]
WORDS = ["red apple", "green, pear", "red"]
TOKENS = {"<unk>": 1, "red": 2, "apple": 3, "green,": 4, "pear": 5}


@pytest.fixture(scope="module")
def worded(model):
    words = Tokenizer("tokens", Vocabulary(TOKENS))
    return o2v_jax.Model(model.config, model.params, tokenizers=(words, words))


@pytest.fixture(scope="module")
def build(worded):
    scorer = o2v_jax.Scorer(worded)
    return lambda table, **options: Index.build(worded, table, scorer=scorer, **options)


def write(path, text):
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_table(path, keys=KEYS, words=WORDS):
    """The same items in the format that the file's ending says."""
    rows = list(zip(keys, words, strict=True))
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"key": keys, "words": words}), path)
    elif ".jsonl" in path.suffixes:
        write(path, "".join(json.dumps({"key": k, "words": w}) + "\n" for k, w in rows))
    else:
        between = "," if ".csv" in path.suffixes else "\t"
        quote = '"' if between == "," else ""
        lines = (f"{k}{between}{quote}{w}{quote}\n" for k, w in rows)
        write(path, f"key{between}words\n" + "".join(lines))
    return path


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.tsv.gz", "a.jsonl", "folder"])
def test_every_format_gives_the_same_index(build, name, tmp_path, worded):
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
        for at in range(3):
            write_table(path / f"{at}.csv", KEYS[at : at + 1], WORDS[at : at + 1])
    else:
        write_table(path)
    index = build(ItemTable(path, "words", "key"), output=tmp_path / "index")
    (hits,) = index.search([WORDS[1]])
    (expected,) = build(WORDS, keys=KEYS).search([WORDS[1]])
    assert hits.keys == expected.keys
    np.testing.assert_array_equal(hits.scores, expected.scores)
    again = Index.load(tmp_path / "index", worded).search([WORDS[1]], exclude=["ü"])
    assert sorted(again[0].keys) == ["007", "b"]


def test_values_may_be_keys(build, tmp_path):
    index = build(ItemTable(write_table(tmp_path / "a.jsonl"), "words", "words"))
    assert sorted(index.search(["red"])[0].keys) == sorted(WORDS)


def test_rows_may_have_no_keys(build, tmp_path):
    index = build(ItemTable(write_table(tmp_path / "a.csv"), "1", layout=Layout(header=False)))
    (hits,) = index.search(["green, pear"])
    assert sorted(hits.keys) == [0, 1, 2, 3]


def test_lists_hold_ids_tokens_or_encodings(build, tmp_path, encodings):
    found = {}
    vectors = encodings(3)
    columns = {
        "tokens": [text.split() for text in WORDS],
        "ids": [[2, 3], [4, 5], [2]],
        "vectors": vectors.tolist(),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    for column in columns:
        index = build(ItemTable(tmp_path / "a.parquet", column))
        found[column] = index.search([WORDS[1]])[0].scores
        assert len(index) == 3
    np.testing.assert_array_equal(found["tokens"], found["ids"])
    (expected,) = build(vectors).search([WORDS[1]])
    np.testing.assert_allclose(found["vectors"], expected.scores, rtol=1e-6)


def test_without_tokenizers_a_text_holds_ids(model, tmp_path):
    path = write(tmp_path / "a.csv", "ids\n2 3\n4\n")
    assert len(Index.build(model, ItemTable(path, "ids"))) == 2


def test_larger_tables_are_read_in_slices(build, tmp_path):
    keys = [str(number) for number in range(9000)]
    seen = []
    table = ItemTable(write_table(tmp_path / "a.csv", keys, ["red"] * 9000), "words", "key")
    index = build(table, output=tmp_path / "index", on_progress=seen.append)
    assert seen == [4096, 4096, 808]
    assert len(index) == 9000
    assert index.search(["red"], 2, exclude=["1"])[0].keys == ["0", "2"]
    assert index.search(["red"], 9000)[0].keys == keys


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("key,words\na,red\nb,\n", "a.csv:3: 'words': the cell is empty"),
        ("key,words\na,red\n ,red\n", "a.csv:3: 'key': the cell is empty"),
        ("key,words\na,red\nb,red\na,green\n", "a.csv:4: 'key' is 'a', as at .*a.csv:2: each"),
        ("key,words\n", "a.csv: holds no rows"),
        ("", "a.csv: is empty"),
        ("key,words\na\n", "a.csv:2: the row has 1 columns, but the first row has 2"),
        ("key,title\na,red\n", "a.csv: there is no column 'words'; its columns are key, title"),
        ('key,words\na,"red\n', "a.csv:2: the row that begins here is not valid CSV"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_row(build, text, message, tmp_path):
    table = ItemTable(write(tmp_path / "a.csv", text), "words", "key")
    with pytest.raises(o2v_jax.O2VError, match=message):
        build(table, output=tmp_path / "index")
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([[1], [2, 20]], r"row 2: 'c': 20 is outside the vocabulary 0\.\.19"),
        ([[1], [2, None]], "row 2: 'c': a number is missing in the list"),
        ([[1], []], "row 2: 'c': the cell is empty"),
        ([[1], None], "row 2: 'c': the cell is empty"),
        ([[0.5] * 8, [0.5] * 7], "row 2: 'c': an encoding has 8 numbers, but this has 7"),
        ([[0.5] * 8, [float("nan")] * 8], "row 2: its encoding holds NaN or infinity"),
        ([[b"x"], [b"y"]], "holds lists of binary, which are neither ids, tokens nor encodings"),
        ([1.0, float("nan")], "row 2: 'c': the cell is empty"),
    ],
)
def test_so_is_a_cell_of_parquet(build, cells, message, tmp_path):
    pq.write_table(pa.table({"c": cells}), tmp_path / "a.parquet")
    with pytest.raises(o2v_jax.O2VError, match=message):
        build(ItemTable(tmp_path / "a.parquet", "c"))


def test_lists_are_no_keys(build, tmp_path):
    table = pa.table({"c": [[1], [2]], "tags": [["a"], ["b"]]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(o2v_jax.InputError, match="column tags holds lists, which are no keys"):
        build(ItemTable(tmp_path / "a.parquet", "c", "tags"))


def test_a_token_that_nothing_knows_is_named(model, tmp_path):
    known = Tokenizer("tokens", Vocabulary({"red": 2}))
    model = o2v_jax.Model(model.config, model.params, tokenizers=(known, known))
    path = write(tmp_path / "a.jsonl", '{"words": "red"}\n\n{"words": "blue"}\n')
    with pytest.raises(o2v_jax.RecordError, match=r"a\.jsonl:3: 'words': holds no token that the"):
        Index.build(model, ItemTable(path, "words"))


def test_a_table_is_a_path_with_keys_of_its_own(build):
    with pytest.raises(o2v_jax.InputError, match=r"s3://b/a\.csv is a URL"):
        ItemTable("s3://b/a.csv", "words")
    with pytest.raises(o2v_jax.InputError, match="keys are those of the table: leave them out"):
        build(ItemTable(Path("a.csv"), "words"), keys=["a"])
    with pytest.raises(o2v_jax.InputError, match="cannot be read"):
        build(ItemTable(Path("nothing.csv"), "words"))
