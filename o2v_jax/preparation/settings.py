"""The hyperparameters that follow from the data."""

from collections.abc import Mapping

from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.limits import LONGEST_REQUEST
from o2v_jax.preparation.sides import Side


def settings(
    sides: tuple[Side, Side],
    vocab_sizes: tuple[int, int],
    longest: tuple[int, int],
    from_labels: Mapping[str, str],
    *,
    shared: bool,
) -> dict[str, str]:
    """Hyperparameters by name, as the text that `o2v train --hyperparameters` reads.

    The networks are named because `enc1_network=enc0`, the default, would give enc1 enc0's sizes:
    pooled_embedding for single values, in which nothing has an order, and hcnn, the default.

    Args:
        sides: of the records.
        vocab_sizes: of each side.
        longest: the longest sequence of each side.
        from_labels: those that follow from the labels.
        shared: whether both sides have one vocabulary, so that they can have one token table.

    Raises:
        HyperparameterError: the data is outside what the hyperparameters can say.
    """
    found: dict[str, str] = {}
    networks = _networks(sides, shared=shared)
    for at in (0, 1):
        found[f"enc{at}_network"] = networks[at]
        found[f"enc{at}_vocab_size"] = str(vocab_sizes[at])
        found[f"enc{at}_max_seq_len"] = str(min(longest[at], LONGEST_REQUEST))
    found |= {"tied_token_embedding_weight": "True"} if shared else {}
    found |= from_labels
    Hyperparameters.from_strings(found)
    return found


def _networks(sides: tuple[Side, Side], *, shared: bool) -> tuple[str, str]:
    """One table of tokens needs equal token dimensions, which different networks do not have."""
    single = tuple(side.kind == "value" for side in sides)
    if shared:
        single = (all(single),) * 2
    first, second = ("pooled_embedding" if one else "hcnn" for one in single)
    return first, second
