"""`o2v evaluate --report`."""

import json

import pytest

import o2v_jax

RECORDS = b"".join(
    json.dumps({"label": n % 3, "in0": [1 + n % 7, 2], "in1": [3 + n % 5]}).encode() + b"\n"
    for n in range(12)
)


@pytest.fixture(scope="module")
def model(config_of, model_of, tmp_path_factory):
    config = config_of(enc0_network="pooled_embedding", enc0_max_seq_len=3)
    return o2v_jax.save(model_of(config), tmp_path_factory.mktemp("models") / "model")


def test_a_report_is_written_and_named(model, o2v, tmp_path):
    plain = o2v("evaluate", "--model", model, "--json", stdin=RECORDS)
    done = o2v("evaluate", "--model", model, "--json", "--report", tmp_path / "r", stdin=RECORDS)
    assert done.status == 0, done.err
    assert done.rows == [pytest.approx(*plain.rows, rel=1e-6)], "training's own metrics"
    assert done.err.strip() == f"The report is in {tmp_path / 'r' / 'report.html'}"
    figures = json.loads((tmp_path / "r" / "report.json").read_bytes())
    (printed,) = done.rows
    assert printed == {
        "cross_entropy": figures["metrics"]["cross_entropy"]["value"],
        "accuracy": figures["metrics"]["accuracy"]["value"],
        "records": 12,
    }
    assert figures["about"]["model"] == str(model)
    assert figures["about"]["data"] == "standard input"


def test_a_folder_that_is_in_use_is_refused_before_anything_is_read(model, o2v, tmp_path):
    (tmp_path / "notes").touch()
    done = o2v("evaluate", "--model", model, "--report", tmp_path, tmp_path / "no such file")
    assert (done.status, done.out) == (2, "")
    assert "holds other things than a report (notes)" in done.err
