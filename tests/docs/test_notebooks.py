"""The notebooks run from a fresh kernel, are short, and hold outputs and plots."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "docs" / "notebooks").glob("*.ipynb"))

pytestmark = [
    pytest.mark.process,
    # the kernel's own sockets and event loop
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning"),
]


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == ["ratings", "retrieval", "sentence-pairs"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, monkeypatch, tmp_path):
    monkeypatch.setenv("O2V_CACHE_DIR", os.environ["O2V_CACHE_DIR"])
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    assert len(notebook.cells) < 15
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)
    resources = {"metadata": {"path": str(path.parent)}}
    done = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources=resources
    ).execute()
    for before, after in zip(nbformat.read(path, as_version=4).cells, done.cells, strict=True):
        kinds = [
            [output.output_type for output in cell.get("outputs", [])] for cell in (before, after)
        ]
        assert kinds[0] == kinds[1], after.source
