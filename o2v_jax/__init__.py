"""Object2Vec in JAX: pairs of token id sequences to scores and embeddings.

`__init__.pyi` is the table of contents. Names are imported on first use, so that a command that
needs no model does not wait for JAX to load.
"""

from lazy_loader import attach_stub

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
