"""The rules between hyperparameters, which refuse a draft's values or resolve them.

Resolved values are stored in place of those given, and resolving them again changes nothing.
Source of the rules: the Object2Vec documentation and what the original's training logs print.

There is no rule for negative_sampling_rate: its records have the labels 0 and 1, which every
output layer reads, whatever num_classes is.
"""

import math
from collections.abc import Iterator

from o2v_jax.hyperparameters.copying import PRETRAINING, TOKEN_TABLE, copy_enc0, require_enc1
from o2v_jax.hyperparameters.draft import Draft
from o2v_jax.hyperparameters.networks import allow_resolved, note_widths, own_sides, resolve

ROW_SPARSE_OPTIMIZERS = ("adam", "adagrad", "sgd")


def settle(draft: Draft) -> None:
    """Applies every rule: resolves the draft's values, adds its clashes and notes."""
    for side in (0, 1):
        allow_resolved(draft, side)
    require_enc1(draft)
    note_widths(draft)
    before = dict(draft.values)
    for side in own_sides(draft):
        resolve(draft, side)
    if draft.has("enc1_network", "enc0"):
        copy_enc0(draft, before)
    for rule in (_tied, _divisible, _row_sparse_optimizer):
        draft.clashes.extend(rule(draft))
    _row_sparse_buckets(draft)


def _tied(draft: Draft) -> Iterator[str]:
    if not draft.has("tied_token_embedding_weight", True):
        return
    untrained = draft.has("enc0_pretrained_embedding_file", "")
    for suffix in TOKEN_TABLE if untrained else TOKEN_TABLE + PRETRAINING:
        first, second = f"enc0_{suffix}", f"enc1_{suffix}"
        if draft.sound(first, second) and not draft.has(second, draft.values[first]):
            yield (
                f"{draft.said(second)}: must equal {draft.said(first)}, because "
                "tied_token_embedding_weight=True makes one token table for both encoders; "
                "make them equal or set tied_token_embedding_weight=False"
            )


def _divisible(draft: Draft) -> Iterator[str]:
    sides = own_sides(draft)
    names = [f"enc{side}_{suffix}" for side in sides for suffix in ("network", "layers")]
    if not draft.sound("enc_dim", *names):
        return
    step = math.lcm(*(_parts(draft, side) for side in sides))
    if draft.values["enc_dim"] % step:
        reasons = " and ".join(_reason(draft, side) for side in sides if _parts(draft, side) > 1)
        yield (
            f"{draft.said('enc_dim')}: must be a multiple of {step} for {reasons}; "
            f"set it to {_nearest_multiples(draft, step)}, the nearest valid"
        )


def _parts(draft: Draft, side: int) -> int:
    """Into how many equal parts a side's network divides the encoding."""
    parts = {"hcnn": draft.values[f"enc{side}_layers"], "bilstm": 2, "pooled_embedding": 1}
    return int(parts[draft.values[f"enc{side}_network"]])


def _reason(draft: Draft, side: int) -> str:
    network, parts = draft.values[f"enc{side}_network"], _parts(draft, side)
    return f"enc{side}'s {network} of {parts} {'layers' if network == 'hcnn' else 'directions'}"


def _nearest_multiples(draft: Draft, step: int) -> str:
    """The multiples of `step` just below and above enc_dim that are in enc_dim's range."""
    below = draft.values["enc_dim"] // step * step
    stored = draft.lines["enc_dim"].rule.stored
    return " or ".join(str(dim) for dim in (below, below + step) if stored(dim) is not None)


def _row_sparse_optimizer(draft: Draft) -> Iterator[str]:
    sparse = draft.has("token_embedding_storage_type", "row_sparse") and draft.sound("optimizer")
    if sparse and draft.values["optimizer"] not in ROW_SPARSE_OPTIMIZERS:
        yield (
            f"{draft.said('optimizer')}: token_embedding_storage_type=row_sparse allows only "
            f"{', '.join(ROW_SPARSE_OPTIMIZERS)}; choose one of these or set "
            "token_embedding_storage_type=dense"
        )


def _row_sparse_buckets(draft: Draft) -> None:
    """Turns bucketing off, as row_sparse does."""
    sparse = draft.has("token_embedding_storage_type", "row_sparse")
    if sparse and draft.sound("bucket_width") and draft.values["bucket_width"]:
        draft.notes.append(
            f"{draft.said('bucket_width')} becomes 0: "
            "token_embedding_storage_type=row_sparse turns bucketing off"
        )
        draft.values["bucket_width"] = 0
