"""A model in a few lines, for people who print it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from o2v_jax.data.nested import iterate_leaves
from o2v_jax.data.tokenizers import SIDES, Tokenizers
from o2v_jax.hyperparameters import Hyperparameters

_FRONT_MATTER = re.compile(r"\A---[ \t]*\r?\n(?:.*\n)*?---[ \t]*(?:\r?\n)*(?:\Z|(?<=\n))")
_NAMES_SHOWN = 5
_NAME_LENGTH = 20
_MEGABYTE = 1_000_000


def summarize_network(config: Hyperparameters) -> Iterator[str]:
    """Lines about the encoders and what compares them."""
    for side, name in enumerate(SIDES):
        encoder = config.encoder(side)
        yield (
            f"{name}: {encoder.network}, {encoder.vocab_size:,} tokens of "
            f"{encoder.token_embedding_dim}, at most {encoder.max_seq_len} long -> "
            f"{encoder.enc_dim}"
        )
    if config.objective is not None:
        yield f"compared by {config.objective.similarity}, trained in batches"
        return
    hidden = f"{config.mlp_layers} x {config.mlp_dim} {config.mlp_activation}"
    output = "regression" if not config.is_classification else f"{config.num_classes} classes"
    yield f"compared by {', '.join(config.comparator_list)}; MLP {hidden}; {output}"


def summarize_inputs(tokenizers: Tokenizers | None, class_names: Sequence[str]) -> Iterator[str]:
    """Lines about raw values and class names, where the model has any."""
    if tokenizers is not None:
        kinds = (
            f"{side} {each.kind}" + f" ({each.algorithm})" * (each.algorithm is not None)
            for side, each in zip(SIDES, tokenizers, strict=True)
        )
        yield f"takes {', '.join(kinds)}"
    if class_names:
        shown = [name[:_NAME_LENGTH] for name in class_names[:_NAMES_SHOWN]]
        more = f" and {len(class_names) - _NAMES_SHOWN} more" * (len(class_names) > _NAMES_SHOWN)
        yield f"classes {', '.join(shown)}{more}"


def summarize_params(params: Mapping[str, Any]) -> Iterator[str]:
    """A line about the size of nested arrays; nothing if there are none."""
    sizes = [getattr(leaf, "size", 0) for _, leaf in iterate_leaves(dict(params))]
    stored = sum(getattr(leaf, "nbytes", 0) for _, leaf in iterate_leaves(dict(params)))
    if sizes:
        yield f"{sum(sizes):,} parameters ({stored / _MEGABYTE:.1f} MB)"


def strip_front_matter(card: str) -> str:
    r"""A model card without what stands between two lines of "---" at its beginning.

    >>> strip_front_matter("---\nlicense: mit\n---\n# A model\n")
    '# A model\n'
    """
    return _FRONT_MATTER.sub("", card, count=1)


def describe_best(metrics: Mapping[str, Any]) -> str:
    """The best epoch of a model's metrics, and what it reached on the first channel that counts.

    >>> describe_best({"best_epoch": 2, "validation": {"cross_entropy": 0.5, "accuracy": 0.75}})
    'validation accuracy 0.75 in epoch 2'
    """
    channel = next((name for name in ("validation", "train") if name in metrics), None)
    values = metrics[channel] if channel else None
    if not isinstance(values, Mapping) or not values:
        return ""
    name = next(
        (name for name in ("accuracy", "mrr", "mean_squared_error") if name in values), None
    )
    name = name or next(iter(values))
    if not isinstance(values[name], int | float):  # one that is not finite is read as None
        return ""
    return f"{channel} {name} {values[name]:.4g} in epoch {metrics.get('best_epoch')}"
