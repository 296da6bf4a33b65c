"""Which hyperparameters a base configuration leaves nothing to search for."""

from collections.abc import Container

from o2v_jax.hyperparameters import Hyperparameters


def why_idle(base: Hyperparameters, name: str, searched: Container[str]) -> str | None:
    """Why values of `name` would change nothing or be refused; None if they would not."""
    if name.startswith(("enc0_", "enc1_")):
        return _why_idle_encoder(base, int(name[3]), name[5:])
    if name == "enc_dim":
        fixed = (side for side in (0, 1) if _pooled(base, side) and _pretrained(base, side))
        return next((f"it is the width of enc{side}'s pretrained vectors" for side in fixed), None)
    if name in {"mlp_dim", "mlp_activation"}:
        none = base.mlp_layers == 0 and "mlp_layers" not in searched
        return "mlp_layers=0 leaves no layer that has it" if none else None
    return None


def _why_idle_encoder(base: Hyperparameters, side: int, suffix: str) -> str | None:
    network = base.encoder(side).network
    if side == 1 and base.enc1_network == "enc0":
        return f"enc1_network=enc0 copies it: tune enc0_{suffix}"
    if suffix == "token_embedding_dim":
        return _why_idle_width(base, side)
    if suffix == "layers" and network == "pooled_embedding":
        return f"enc{side} is a pooled_embedding, which has no layers"
    if suffix == "cnn_filter_width" and network != "hcnn":
        return f"enc{side} is a {network}, which has no filters"
    return None


def _why_idle_width(base: Hyperparameters, side: int) -> str | None:
    if _pooled(base, side):
        return f"enc{side} is a pooled_embedding, whose token dimension is enc_dim: tune enc_dim"
    if _pretrained(base, side):
        return f"it is the width of enc{side}'s pretrained vectors"
    if side == 1 and base.tied_token_embedding_weight:
        return "tied_token_embedding_weight=True makes both equal: tune enc0_token_embedding_dim"
    return None


def _pooled(base: Hyperparameters, side: int) -> bool:
    return base.encoder(side).network == "pooled_embedding"


def _pretrained(base: Hyperparameters, side: int) -> bool:
    owner = 0 if base.enc1_network == "enc0" else side
    return bool(getattr(base, f"enc{owner}_pretrained_embedding_file"))
