"""The rules between hyperparameters, which refuse a draft's values or resolve them.

Resolved values are stored in place of those given, and resolving them again changes nothing.
Source of the rules: the Object2Vec documentation and what the original's training logs print.

There is no rule for negative_sampling_rate: its records have the labels 0 and 1, which every
output layer reads, whatever num_classes is.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from o2v_jax.hyperparameters.draft import Draft
from o2v_jax.hyperparameters.values import Unset

AUTO_LAYERS = {"hcnn": 4, "bilstm": 1}


def list_own_sides(draft: Draft) -> tuple[int, ...]:
    """The sides whose hyperparameters are their own: not enc1 where it copies enc0."""
    return (0,) if draft.has("enc1_network", "enc0") else (0, 1)


def get_network(draft: Draft, side: int) -> str | None:
    """The network of a side, "enc0" resolved, or None if it is not known."""
    name = f"enc{side}_network" if side in list_own_sides(draft) else "enc0_network"
    return draft.values[name] if draft.is_valid(name) else None


def allow_resolved(draft: Draft, side: int) -> None:
    """Accepts the values that a pooled encoder's resolve to, though outside their own ranges."""
    if get_network(draft, side) != "pooled_embedding":
        return
    enc_dim = draft.values["enc_dim"]
    for name, value in ((f"enc{side}_layers", 0), (f"enc{side}_token_embedding_dim", enc_dim)):
        if type(draft.values[name]) is int and draft.values[name] == value:
            draft.faults.pop(name, None)


def resolve(draft: Draft, side: int) -> None:
    """Fills in a side's layers and, for pooled_embedding, its token embedding dimension."""
    network = get_network(draft, side)
    layers = f"enc{side}_layers"
    if network == "pooled_embedding":
        draft.clashes.extend(_check_pretrained_width(draft, side))
        enc_dim = draft.values["enc_dim"] if draft.is_valid("enc_dim") else Unset.UNSET
        draft.values.update({layers: 0, f"enc{side}_token_embedding_dim": enc_dim})
    elif draft.has(layers, "auto"):
        draft.values[layers] = AUTO_LAYERS.get(network or "", Unset.UNSET)


def note_widths(draft: Draft) -> None:
    """Notes that pooled encoders do not get the token embedding dimensions they were given."""
    names = [
        f"enc{side}_token_embedding_dim"
        for side in list_own_sides(draft)
        if _is_inconsistent(draft, side)
    ]
    if names:
        enc_dim = draft.values["enc_dim"]
        draft.notes.append(
            f"inconsistent enc_dim and token_embedding_dim: enc_dim={enc_dim}, but "
            f"{' and '.join(draft.show(name) for name in names)}; pooled_embedding has no "
            f"projection, so setting token embedding dim to be {enc_dim}"
        )


def _is_inconsistent(draft: Draft, side: int) -> bool:
    """Whether a pooled side was given a token embedding dimension that is not enc_dim."""
    name = f"enc{side}_token_embedding_dim"
    known = name in draft.given and draft.is_valid(name, "enc_dim")
    pooled = get_network(draft, side) == "pooled_embedding"
    return known and pooled and not draft.has(name, draft.values["enc_dim"])


def _check_pretrained_width(draft: Draft, side: int) -> Iterator[str]:
    name = f"enc{side}_token_embedding_dim"
    file = f"enc{side}_pretrained_embedding_file"
    if _is_inconsistent(draft, side) and draft.is_valid(file) and draft.values[file]:
        yield (
            f"{draft.show(name)}: must equal {draft.show('enc_dim')}, because enc{side} is a "
            f"pooled_embedding with {draft.show(file)}; set enc_dim={draft.values[name]} "
            f"or use vectors of dimension {draft.values['enc_dim']}"
        )


TOKEN_TABLE = ("vocab_size", "token_embedding_dim", "pretrained_embedding_file")
PRETRAINING = ("freeze_pretrained_embedding", "vocab_file")
ENCODER = ("max_seq_len", "layers", "cnn_filter_width", *TOKEN_TABLE, *PRETRAINING)


def require_enc1(draft: Draft) -> None:
    """Reports required values that are missing for an enc1 that does not copy enc0."""
    if not draft.is_valid("enc1_network") or draft.has("enc1_network", "enc0"):
        return
    for name in ("enc1_max_seq_len", "enc1_vocab_size"):
        if name not in draft.given:
            draft.report_missing(name)


def copy_enc0(draft: Draft, before: Mapping[str, Any]) -> None:
    """Gives enc1 every value of enc0; one that was given for enc1 must agree with it.

    "auto" names no number of layers, so it agrees with any. A value agrees with enc0's as it was
    before enc0 was resolved (`before`) or as it is now: people give both sides the same values.
    """
    for suffix in ENCODER:
        name = f"enc1_{suffix}"
        source = f"enc0_{suffix}"
        given = name in draft.given and draft.is_valid(name, source)
        left_open = suffix == "layers" and before[name] == "auto"
        if given and not left_open and before[name] not in (before[source], draft.values[source]):
            draft.clashes.append(_describe_contradiction(draft, name, source))
        draft.values[name] = draft.values[source]


def _describe_contradiction(draft: Draft, name: str, source: str) -> str:
    network = draft.values["enc0_network"] if draft.is_valid("enc0_network") else "hcnn"
    return (
        f"{draft.show(name)}: contradicts {draft.show(source)}, which enc1_network=enc0 copies; "
        f"set enc1_network={network} to give enc1 its own values, or leave {name} out"
    )


ROW_SPARSE_OPTIMIZERS = ("adam", "adagrad", "sgd")


def settle(draft: Draft) -> None:
    """Applies every rule: resolves the draft's values, adds its clashes and notes."""
    for side in (0, 1):
        allow_resolved(draft, side)
    require_enc1(draft)
    note_widths(draft)
    before = dict(draft.values)
    for side in list_own_sides(draft):
        resolve(draft, side)
    if draft.has("enc1_network", "enc0"):
        copy_enc0(draft, before)
    for rule in (_check_tied_tables, _check_divisible, _check_row_sparse_optimizer):
        draft.clashes.extend(rule(draft))
    _disable_bucketing(draft)


def _check_tied_tables(draft: Draft) -> Iterator[str]:
    if not draft.has("tied_token_embedding_weight", True):
        return
    untrained = draft.has("enc0_pretrained_embedding_file", "")
    for suffix in TOKEN_TABLE if untrained else TOKEN_TABLE + PRETRAINING:
        first, second = f"enc0_{suffix}", f"enc1_{suffix}"
        if draft.is_valid(first, second) and not draft.has(second, draft.values[first]):
            yield (
                f"{draft.show(second)}: must equal {draft.show(first)}, because "
                "tied_token_embedding_weight=True makes one token table for both encoders; "
                "make them equal or set tied_token_embedding_weight=False"
            )


def _check_divisible(draft: Draft) -> Iterator[str]:
    sides = list_own_sides(draft)
    names = [f"enc{side}_{suffix}" for side in sides for suffix in ("network", "layers")]
    if not draft.is_valid("enc_dim", *names):
        return
    step = math.lcm(*(_count_parts(draft, side) for side in sides))
    if draft.values["enc_dim"] % step:
        divided = [side for side in sides if _count_parts(draft, side) > 1]
        reasons = " and ".join(_explain_divisor(draft, side) for side in divided)
        yield (
            f"{draft.show('enc_dim')}: must be a multiple of {step} for {reasons}; "
            f"set it to {_find_nearest_multiples(draft, step)}, the nearest valid"
        )


def _count_parts(draft: Draft, side: int) -> int:
    """The number of equal parts that make up the encoding of a side's network."""
    parts = {"hcnn": draft.values[f"enc{side}_layers"], "bilstm": 2, "pooled_embedding": 1}
    return int(parts[draft.values[f"enc{side}_network"]])


def _explain_divisor(draft: Draft, side: int) -> str:
    network = draft.values[f"enc{side}_network"]
    parts = _count_parts(draft, side)
    return f"enc{side}'s {network} of {parts} {'layers' if network == 'hcnn' else 'directions'}"


def _find_nearest_multiples(draft: Draft, step: int) -> str:
    """The multiples of `step` just below and above enc_dim that are in enc_dim's range."""
    below = draft.values["enc_dim"] // step * step
    accept = draft.lines["enc_dim"].rule.accept
    return " or ".join(str(dim) for dim in (below, below + step) if accept(dim) is not None)


def _check_row_sparse_optimizer(draft: Draft) -> Iterator[str]:
    sparse = draft.has("token_embedding_storage_type", "row_sparse") and draft.is_valid("optimizer")
    if sparse and draft.values["optimizer"] not in ROW_SPARSE_OPTIMIZERS:
        yield (
            f"{draft.show('optimizer')}: token_embedding_storage_type=row_sparse allows only "
            f"{', '.join(ROW_SPARSE_OPTIMIZERS)}; choose one of these or set "
            "token_embedding_storage_type=dense"
        )


def _disable_bucketing(draft: Draft) -> None:
    """Turns bucketing off, as row_sparse does."""
    sparse = draft.has("token_embedding_storage_type", "row_sparse")
    if sparse and draft.is_valid("bucket_width") and draft.values["bucket_width"]:
        draft.notes.append(
            f"{draft.show('bucket_width')} becomes 0: "
            "token_embedding_storage_type=row_sparse turns bucketing off"
        )
        draft.values["bucket_width"] = 0


def check_in_batch(draft: Draft) -> Iterator[str]:
    """Sentences about values that the in-batch objective refuses."""
    if draft.has("mini_batch_size", 1):
        yield (
            "mini_batch_size=1: the in-batch objective compares the pairs of a batch; "
            "set it to 2 or more"
        )
    if draft.has("output_layer", "mean_squared_error"):
        yield (
            "output_layer=mean_squared_error: the in-batch objective ranks pairs and predicts no "
            "value; leave output_layer out"
        )
    if draft.is_valid("negative_sampling_rate") and draft.values["negative_sampling_rate"]:
        yield (
            f"{draft.show('negative_sampling_rate')}: the negatives of the in-batch objective are "
            "the other pairs of a batch; leave negative_sampling_rate out"
        )
