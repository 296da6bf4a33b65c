"""Copying enc0's hyperparameters to enc1, and the values that enc1 needs where it copies none."""

from collections.abc import Mapping
from typing import Any

from o2v_jax.hyperparameters.draft import Draft

TOKEN_TABLE = ("vocab_size", "token_embedding_dim", "pretrained_embedding_file")
PRETRAINING = ("freeze_pretrained_embedding", "vocab_file")
ENCODER = ("max_seq_len", "layers", "cnn_filter_width", *TOKEN_TABLE, *PRETRAINING)


def require_enc1(draft: Draft) -> None:
    """Reports what an enc1 of its own lacks."""
    if not draft.sound("enc1_network") or draft.has("enc1_network", "enc0"):
        return
    for name in ("enc1_max_seq_len", "enc1_vocab_size"):
        if name not in draft.given:
            draft.miss(name)


def copy_enc0(draft: Draft, before: Mapping[str, Any]) -> None:
    """Gives enc1 every value of enc0; one that was given for enc1 must agree with it.

    "auto" names no number of layers, so it agrees with any. A value agrees with enc0's as it was
    before enc0 was resolved (`before`) or as it is now: people give both sides the same values.
    """
    for suffix in ENCODER:
        name, source = f"enc1_{suffix}", f"enc0_{suffix}"
        given = name in draft.given and draft.sound(name, source)
        left_open = suffix == "layers" and before[name] == "auto"
        if given and not left_open and before[name] not in (before[source], draft.values[source]):
            draft.clashes.append(_contradiction(draft, name, source))
        draft.values[name] = draft.values[source]


def _contradiction(draft: Draft, name: str, source: str) -> str:
    network = draft.values["enc0_network"] if draft.sound("enc0_network") else "hcnn"
    return (
        f"{draft.said(name)}: contradicts {draft.said(source)}, which enc1_network=enc0 copies; "
        f"set enc1_network={network} to give enc1 its own values, or leave {name} out"
    )
