"""The byte order mark that some editors write is no part of a text, whoever reads it."""

import json

import numpy as np
import pytest

from o2v_jax.data.vocabulary import Vocabulary, read_json_object
from o2v_jax.training.data.dataset import read_dataset
from o2v_jax.training.data.word_vectors import read_vectors
from o2v_jax.training.sagemaker import read_container_hosts

MARK = "\ufeff"


@pytest.fixture
def written(tmp_path):
    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(MARK + text, encoding="utf-8")
        return path

    return write


def test_json_files(written):
    """hyperparameters.json, config.json, metrics.json and all others are read by one function."""
    assert read_json_object(written("a.json", '{"epochs": "3"}')) == {"epochs": "3"}
    assert Vocabulary.read(written("vocab.json", '{"a": 1}')).tokens == {"a": 1}


def test_resourceconfig(written, tmp_path):
    written("input/config/resourceconfig.json", json.dumps({"hosts": ["h"], "current_host": "h"}))
    assert read_container_hosts(tmp_path).names == ("h",)


def test_word_vectors(written):
    ids, vectors = read_vectors(written("v.txt", "cat 1 2\n"), {"cat": 5}, 2)
    assert ids.tolist() == [5]
    np.testing.assert_array_equal(vectors, [[1, 2]])


def test_training_records(written, config_of, tmp_path):
    file = written("a.jsonl", '{"label": 1, "in0": [3], "in1": [5]}\n')
    assert len(read_dataset([file, file], config_of(), cache=tmp_path / "cache")) == 2
