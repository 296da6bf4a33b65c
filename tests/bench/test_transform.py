"""bench.transform, in its tiniest form."""

import pytest

from bench import transform


def test_the_command_measures_transforms(measured):
    results = measured(transform.main, "--encoder", "pooled_embedding", "--ray-workers", 0)
    scorer, small, large = results["rows"]
    assert [row["records"] for row in results["rows"]] == [200, 200, 400]
    assert large["input_mb"] >= 1.8 * small["input_mb"] >= 0
    assert min(row["records_per_s"] for row in results["rows"]) > 0
    assert 0 <= small["padding"] < 1
    assert small["of_scorer"] == pytest.approx(
        small["records_per_s"] / scorer["records_per_s"], abs=0.01
    )
    (found,) = results["overheads"]
    assert 0.5 < found["memory_growth"] < 2


def test_ray_is_set_beside_one_process():
    local = {"engine": "local", "records": 10, "records_per_s": 5, "seconds": 3.0, "peak_mb": 2.0}
    ray = local | {"engine": "--engine ray", "seconds": 9.0}
    rows = [local, local | {"peak_mb": 3.0}, ray, ray | {"records_per_s": 4}]
    assert transform.overheads(rows) == {"memory_growth": 1.5, "ray_rate": 0.8, "ray_start_s": 6.0}
