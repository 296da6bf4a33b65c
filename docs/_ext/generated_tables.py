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


def _shorten(*arguments: str | None) -> tuple[str | None, ...]:
    """A signature and a result without the module that JAX defines its arrays in."""
    return tuple(text and text.replace("jaxlib._jax.", "") for text in arguments[-2:])


def setup(app: Sphinx) -> dict[str, bool]:
    """Adds a directive for each table."""
    app.connect("autodoc-process-signature", _shorten)
    for name, make in TABLES.items():
        app.add_directive(name, _directive(make))
    return {"parallel_read_safe": True}
