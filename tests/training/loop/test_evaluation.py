"""What `measure_model` refuses before it measures anything."""

import pytest

from o2v_jax import InputError, Model
from o2v_jax.training import measure_model, read_dataset

RECORD = '{"label": 1, "in0": [1, 55], "in1": [2]}\n'


@pytest.fixture
def data(tmp_path, config_of):
    (tmp_path / "data.jsonl").write_text(RECORD)
    return read_dataset([tmp_path / "data.jsonl"], config_of(enc0_vocab_size=60), cache=tmp_path)


def test_parameters_of_another_configuration_are_refused(data, config_of, model_of):
    model = Model(config_of(enc0_vocab_size=60), model_of(config_of(enc0_vocab_size=50)).params)
    with pytest.raises(InputError, match=r"must have shape \(60, 8\), but it has \(50, 8\)"):
        measure_model(model, data)


def test_an_unknown_dtype_is_refused(data, config_of, model_of):
    with pytest.raises(InputError, match="dtype='foo' must be one of float32"):
        measure_model(model_of(config_of(enc0_vocab_size=60)), data, dtype="foo")
