"""Code blocks of Markdown pages: what they hold, and how a test is to treat them.

A comment right before a block says how:

    <!-- not run: REASON -->   it cannot be run by a test
    <!-- server -->            starts a server, which runs until the page ends

`<!-- setup` begins a comment that holds a shell script, which is run where it stands and makes
what a reader has already.
"""

import re
from dataclasses import dataclass

from markdown_it import MarkdownIt

RUNNABLE = {"bash", "console", "pycon", "python"}
SHOWN = {"json", "nginx", "text"}  # neither commands nor programs
_COMMENT = re.compile(r"<!--\s*(not run|server|setup)\b:?(.*?)-->", re.DOTALL)
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        language: one of `RUNNABLE` or `SHOWN` on a correct page; "setup" for a script in a comment.
        code: without its fence.
        line: of its first line in the page.
        treatment: "run", "server" or "not run".
        reason: why it is not run.
    """

    language: str
    code: str
    line: int
    treatment: str = "run"
    reason: str = ""


@dataclass(frozen=True)
class Command:
    """A command of a console block, and what it prints."""

    text: str
    output: str


def read_blocks(text):
    """The code blocks of a page, in order."""
    blocks, comment = [], None
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "html_block":
            comment = _COMMENT.fullmatch(token.content.strip())
            if comment and comment[1] == "setup":
                blocks.append(Block("setup", comment[2], token.map[0] + 2))
            continue
        if token.type == "fence" and not token.info.startswith("{"):
            treatment, reason = (comment[1], comment[2].strip()) if comment else ("run", "")
            line = token.map[0] + 2
            blocks.append(Block(token.info.strip(), token.content, line, treatment, reason))
        comment = None
    return blocks


def read_commands(code):
    """The commands of a console block, which stand after `$ `."""
    commands = []
    for part in re.split(r"^\$ ", code, flags=re.MULTILINE)[1:]:
        lines = part.splitlines()
        count = next(n for n, line in enumerate(lines, 1) if not line.endswith("\\"))
        commands.append(Command("\n".join(lines[:count]), "\n".join(lines[count:])))
    return commands


def is_alike(expected, got):
    """Whether a text is the expected one, where `...` stands for anything.

    Numbers with a fraction may differ in the fourth digit, as they do from machine to machine.
    """
    pattern, numbers = "", []
    for part in re.split(rf"(\.\.\.|{_NUMBER.pattern})", expected.strip()):
        if part == "...":
            pattern += ".*?"
        elif _NUMBER.fullmatch(part) and set(part) & set(".e"):
            pattern += f"({_NUMBER.pattern})"
            numbers.append(part)
        else:
            pattern += re.escape(part)
    found = re.fullmatch(pattern, got.strip(), re.DOTALL)
    return bool(found) and all(map(_is_close, map(float, numbers), map(float, found.groups())))


def _is_close(expected, got):
    return abs(expected - got) <= max(1e-3 * abs(expected), 1e-7)
