"""Optional dependencies: the extra that holds each, and the error where one is missing.

The core needs none of them. pyproject.toml lists the same extras with their version ranges.
"""

from importlib.util import find_spec

from o2v_jax.errors import MissingExtraError

_TEXT = ("nltk", "tokenizers")
_DATA = (*_TEXT, "narwhals", "pyarrow")
_TRAIN = (*_DATA, "huggingface_hub", "jinja2", "matplotlib", "optax", "orbax", "scipy")
_TRANSFORM = (*_TEXT, "jsonpath", "pyarrow", "urllib3", "werkzeug")
# extra -> the modules that it brings, those of the extras that it includes too
EXTRAS = {
    "text": _TEXT,
    "data": _DATA,
    "search": (*_DATA, "usearch"),
    "serve": (*_TEXT, "flask", "granian", "prometheus_client", "werkzeug"),
    "train": _TRAIN,
    "transform": _TRANSFORM,
    "ray": (*_TRANSFORM, "ray"),
    "tune": (*_TRAIN, "optuna"),
}


def require_extra(extra: str, user: str, *modules: str) -> None:
    """Checks that the modules of an extra are installed, without importing them.

    Args:
        extra: a name in `EXTRAS`.
        user: what needs it, as the message calls it: a command, a module or an option.
        modules: the needed ones; default all of the extra.

    Raises:
        MissingExtraError: modules are missing.

    >>> require_extra("data", "o2v prepare")
    """
    missing = [name for name in modules or EXTRAS[extra] if find_spec(name) is None]
    if missing:
        raise MissingExtraError(extra, user, missing)
