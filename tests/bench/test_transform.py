"""bench.transform, in its tiniest form."""

import pytest

from bench import transform

pytestmark = pytest.mark.process


def test_the_command_measures_transforms(measured):
    results = measured(transform.main, "--encoder", "pooled_embedding", "--ray-workers", 0)
    scorer, small, large = results["rows"]
    assert [row["records"] for row in results["rows"]] == [200, 200, 400]
    assert large["input_mb"] >= 1.8 * small["input_mb"] >= 0
    assert min(row["records_per_s"] for row in results["rows"]) > 0
    assert 0 <= small["padding"] < 1
    (found,) = results["overheads"]
    assert found["engine"] == "local"
    assert 0.5 < found["memory_growth"] < 2
    assert scorer["engine"] == "Scorer.score"


def test_the_rate_is_that_of_what_the_large_file_has_more():
    alone = {"engine": "Scorer.score", "records": 10, "records_per_s": 50}
    small = {"engine": "local", "records": 10, "seconds": 3.0, "peak_mb": 2.0}
    large = small | {"records": 110, "seconds": 5.5, "peak_mb": 3.0}
    (found,) = transform.compute_overheads([alone, small, large])
    assert found == {
        "engine": "local",
        "records_per_s": 40,
        "of_scorer": 0.8,
        "start_s": 2.75,
        "memory_growth": 1.5,
    }


def test_files_too_small_to_tell_give_no_rate():
    alone = {"engine": "Scorer.score", "records": 10, "records_per_s": 50}
    small = {"engine": "local", "records": 10, "seconds": 3.0, "peak_mb": 2.0}
    found = transform.compute_overheads([alone, small, small | {"records": 20}])
    assert found == [{"engine": "local", "memory_growth": 1.0}]
