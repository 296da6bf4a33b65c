"""Every command and snippet of README.md and docs/ runs, or says why it cannot."""

from pathlib import Path

import pytest
from doc_examples import RUNNABLE, SHOWN, read_blocks

REPOSITORY = Path(__file__).parents[2]
BUILT = REPOSITORY / "docs" / "_build"
PAGES = [
    REPOSITORY / "README.md",
    *(path for path in sorted((REPOSITORY / "docs").rglob("*.md")) if BUILT not in path.parents),
]


def name_of(page):
    return page.relative_to(REPOSITORY).as_posix()


def runs(page):
    blocks = read_blocks(page.read_text())
    return any(block.language in RUNNABLE and block.treatment != "not run" for block in blocks)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_run_or_says_why_not(page):
    for block in read_blocks(page.read_text()):
        where = f"{name_of(page)}:{block.line}"
        assert block.language in RUNNABLE | SHOWN | {"setup"}, f"{where}: {block.language!r}"
        if block.treatment == "not run":
            assert block.reason, f"{where}: it says no reason"
            assert block.language in RUNNABLE, f"{where}: nothing would be run"


@pytest.mark.parametrize("page", [page for page in PAGES if runs(page)], ids=name_of)
def test_the_blocks_of_a_page_run(page, open_page, monkeypatch):
    monkeypatch.setenv("SAGEMAKER_SUPPRESS_V2_WARNING", "1")  # warnings are errors here
    open_page(page).run()
