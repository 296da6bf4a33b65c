"""What an encoder's network decides: its layers and its token embedding dimension."""

from collections.abc import Iterator

from o2v_jax.hyperparameters.draft import Draft
from o2v_jax.hyperparameters.fields import Unset

AUTO_LAYERS = {"hcnn": 4, "bilstm": 1}


def own_sides(draft: Draft) -> tuple[int, ...]:
    """The sides whose hyperparameters are their own: not enc1 where it copies enc0."""
    return (0,) if draft.has("enc1_network", "enc0") else (0, 1)


def network_of(draft: Draft, side: int) -> str | None:
    """The network of a side, "enc0" looked through, or None if it is not known."""
    name = f"enc{side}_network" if side in own_sides(draft) else "enc0_network"
    return draft.values[name] if draft.sound(name) else None


def allow_resolved(draft: Draft, side: int) -> None:
    """What a pooled encoder's values resolve to is valid, though outside their own ranges."""
    if network_of(draft, side) != "pooled_embedding":
        return
    enc_dim = draft.values["enc_dim"]
    for name, value in ((f"enc{side}_layers", 0), (f"enc{side}_token_embedding_dim", enc_dim)):
        if type(draft.values[name]) is int and draft.values[name] == value:
            draft.faults.pop(name, None)


def resolve(draft: Draft, side: int) -> None:
    """Fills in a side's layers and, for pooled_embedding, its token embedding dimension."""
    network, layers = network_of(draft, side), f"enc{side}_layers"
    if network == "pooled_embedding":
        draft.clashes.extend(_pretrained_width(draft, side))
        enc_dim = draft.values["enc_dim"] if draft.sound("enc_dim") else Unset.UNSET
        draft.values.update({layers: 0, f"enc{side}_token_embedding_dim": enc_dim})
    elif draft.has(layers, "auto"):
        draft.values[layers] = AUTO_LAYERS.get(network or "", Unset.UNSET)


def note_widths(draft: Draft) -> None:
    """Says once that pooled encoders do not get the token embedding dimensions they were given."""
    names = [f"enc{side}_token_embedding_dim" for side in own_sides(draft) if _odd(draft, side)]
    if names:
        enc_dim = draft.values["enc_dim"]
        draft.notes.append(
            f"inconsistent enc_dim and token_embedding_dim: enc_dim={enc_dim}, but "
            f"{' and '.join(draft.said(name) for name in names)}; pooled_embedding has no "
            f"projection, so setting token embedding dim to be {enc_dim}"
        )


def _odd(draft: Draft, side: int) -> bool:
    """Whether a pooled side was given a token embedding dimension that is not enc_dim."""
    name = f"enc{side}_token_embedding_dim"
    known = name in draft.given and draft.sound(name, "enc_dim")
    pooled = network_of(draft, side) == "pooled_embedding"
    return known and pooled and not draft.has(name, draft.values["enc_dim"])


def _pretrained_width(draft: Draft, side: int) -> Iterator[str]:
    name, file = f"enc{side}_token_embedding_dim", f"enc{side}_pretrained_embedding_file"
    if _odd(draft, side) and draft.sound(file) and draft.values[file]:
        yield (
            f"{draft.said(name)}: must equal {draft.said('enc_dim')}, because enc{side} is a "
            f"pooled_embedding with {draft.said(file)}; set enc_dim={draft.values[name]} "
            f"or use vectors of dimension {draft.values['enc_dim']}"
        )
