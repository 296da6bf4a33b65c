"""Directives that write reference tables from the code, as Markdown."""

from collections.abc import Callable

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from tables import TABLES


def _directive(make: Callable[[], str]) -> type[SphinxDirective]:
    class Generated(SphinxDirective):
        def run(self) -> list[nodes.Node]:
            return self.parse_text_to_nodes(make())

    return Generated


def setup(app: Sphinx) -> dict[str, bool]:
    """Adds a directive for each table."""
    for name, make in TABLES.items():
        app.add_directive(name, _directive(make))
    return {"parallel_read_safe": True}
