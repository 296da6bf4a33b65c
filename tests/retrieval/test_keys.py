"""Keys are distinguished even where their hashes are equal."""

import pytest

import o2v_jax
from o2v_jax import Index, ItemTable


@pytest.fixture(autouse=True)
def _equal_hashes(monkeypatch):
    monkeypatch.setattr("o2v_jax.retrieval.keys.hash", lambda _: 7, raising=False)


def test_they_are_found(model, scorer, encodings):
    index = Index.build(model, encodings(4), keys=["a", "b", "c", "d"], scorer=scorer)
    assert index.find(["d", "a", "c"]).tolist() == [3, 0, 2]
    with pytest.raises(o2v_jax.InputError, match="the index has no key 'e'"):
        index.find(["a", "e"])


def test_those_of_a_table_are_repeated_only_where_they_are(tmp_path):
    table = ItemTable(tmp_path / "a.csv", "ids", "key")
    (tmp_path / "a.csv").write_text("key,ids\na,1\nb,2\nc,3\n")
    table.check_keys()
    (tmp_path / "a.csv").write_text("key,ids\na,1\nb,2\na,3\n")
    with pytest.raises(o2v_jax.RecordError, match=r"a\.csv:4: 'key' is 'a', as at .*a\.csv:2"):
        table.check_keys()
