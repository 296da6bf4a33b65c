"""The benchmark of encoders by themselves."""

import pytest

from bench import programs

pytestmark = pytest.mark.slow

ENCODERS = ["hcnn", "bilstm", "pooled_embedding"]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_is_timed_beside_pytorchs(encoder):
    pytest.importorskip("torch", reason="the bench extra, which brings PyTorch, is not installed")
    rows = programs.measure(encoder, "float32", "cpu", lengths=2, rounds=1)
    assert [row["length"] for row in rows] == sorted(row["length"] for row in rows)
    for row in rows:
        assert row["ms"] > 0 < row["torch_ms"]
        assert row["batch"] * row["length"] > 1000
        assert ("of_matmul" in row) == (encoder == "hcnn")
