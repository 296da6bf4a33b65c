"""doc_examples: what the tests of the pages stand on finds blocks, and differences."""

import pytest
from doc_examples import Block, Command, is_alike, read_blocks, read_commands

PAGE = """
Text.

```bash
ls
```

<!-- not run: it needs a GPU -->
```python
import jax
```

- An item:

  <!-- server -->
  ```bash
  o2v serve
  ```

<!-- setup
touch file
-->

<!-- not run: too far away -->

Between.

```json
{}
```

```{toctree}
page
```
"""


def test_blocks_are_found_with_their_treatment():
    assert read_blocks(PAGE) == [
        Block("bash", "ls\n", 5),
        Block("python", "import jax\n", 10, "not run", "it needs a GPU"),
        Block("bash", "o2v serve\n", 17, "server"),
        Block("setup", "\ntouch file\n", 21),
        Block("json", "{}\n", 29),
    ]


def test_commands_are_found_with_their_output():
    code = "$ echo a \\\n    b\na b\n\n$ true\n$ echo c\nc\n"
    assert read_commands(code) == [
        Command("echo a \\\n    b", "a b\n"),
        Command("true", ""),
        Command("echo c", "c"),
    ]


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("a b", "a b\n"),
        ("a ... c", "a b\nb c"),
        ("0.12345 and 1e-05", "0.12346 and 1.0001e-05"),
        ("", "\n"),
    ],
)
def test_texts_are_alike(expected, got):
    assert is_alike(expected, got)


@pytest.mark.parametrize(
    ("expected", "got"),
    [("a b", "a c"), ("12 rows", "13 rows"), ("0.123", "0.124"), ("", "a"), ("a ...", "b c")],
)
def test_texts_differ(expected, got):
    assert not is_alike(expected, got)


GOOD = """
```bash
echo $((20 + 1)) > file
```
```console
$ cat file
21
```
```pycon
>>> x = 1
>>> x + 1
2
```
```python
assert x == 1
```
<!-- not run: it would fail -->
```bash
false
```
<!-- setup
mv file renamed
-->
```bash
test -f renamed
```
"""


@pytest.fixture
def run(tmp_path, open_page):
    """A function that runs a page of this text."""

    def run_(text):
        page = tmp_path / "page.md"
        page.write_text(text)
        open_page(page).run()

    return run_


def test_a_page_whose_examples_are_right_runs(run):
    run(GOOD)


@pytest.mark.parametrize(
    "wrong",
    [
        "```bash\nfalse\n```",
        "```console\n$ cat renamed\n22\n```",
        "```console\n$ false\n```",
        "```pycon\n>>> x\n2\n```",
        "```python\nassert not x\n```",
        "<!-- server -->\n```bash\nfalse --port 8080\n```",
    ],
)
def test_a_page_with_a_wrong_example_fails(run, wrong):
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        run(GOOD + wrong)
