"""The search space: ranges around a base configuration, kept within the hyperparameters' rules."""

import math
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from optuna.distributions import BaseDistribution

from o2v_jax.errors import HyperparameterError, InputError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.hyperparameters.constraints import ENCODER, ROW_SPARSE_OPTIMIZERS
from o2v_jax.hyperparameters.objective import UNUSED
from o2v_jax.tuning.ranges import Interval, Range, Value, Values, read_range


def explain_idle(base: Hyperparameters, name: str, searched: Container[str]) -> str | None:
    """Why values of `name` would change nothing or be refused; None if they would not."""
    if name.startswith(("enc0_", "enc1_")):
        return _explain_idle_encoder(base, int(name[3]), name[5:])
    if base.objective is not None and name in UNUSED:
        return "the in-batch objective compares encodings by their similarity"
    if name == "enc_dim":
        fixed = (side for side in (0, 1) if _is_pooled(base, side) and _is_pretrained(base, side))
        return next((f"it is the width of enc{side}'s pretrained vectors" for side in fixed), None)
    if name in {"mlp_dim", "mlp_activation"}:
        none = base.mlp_layers == 0 and "mlp_layers" not in searched
        return "mlp_layers=0 leaves no layer that has it" if none else None
    return None


def _explain_idle_encoder(base: Hyperparameters, side: int, suffix: str) -> str | None:
    network = base.encoder(side).network
    if side == 1 and base.enc1_network == "enc0":
        return f"enc1_network=enc0 copies it: tune enc0_{suffix}"
    if suffix == "token_embedding_dim":
        return _explain_idle_width(base, side)
    if suffix == "layers" and network == "pooled_embedding":
        return f"enc{side} is a pooled_embedding, which has no layers"
    if suffix == "cnn_filter_width" and network != "hcnn":
        return f"enc{side} is a {network}, which has no filters"
    return None


def _explain_idle_width(base: Hyperparameters, side: int) -> str | None:
    if _is_pooled(base, side):
        return f"enc{side} is a pooled_embedding, whose token dimension is enc_dim: tune enc_dim"
    if _is_pretrained(base, side):
        return f"it is the width of enc{side}'s pretrained vectors"
    if side == 1 and base.tied_token_embedding_weight:
        return "tied_token_embedding_weight=True makes both equal: tune enc0_token_embedding_dim"
    return None


def _is_pooled(base: Hyperparameters, side: int) -> bool:
    return base.encoder(side).network == "pooled_embedding"


def _is_pretrained(base: Hyperparameters, side: int) -> bool:
    owner = 0 if base.enc1_network == "enc0" else side
    return bool(getattr(base, f"enc{owner}_pretrained_embedding_file"))


DEFAULT_SEARCH = (
    "learning_rate",
    "dropout",
    "enc_dim",
    "mlp_dim",
    "mlp_layers",
    "mini_batch_size",
    "weight_decay",
    "optimizer",
)


@dataclass(frozen=True)
class Space:
    """A base configuration, and the range of each hyperparameter that is searched."""

    base: Hyperparameters
    ranges: Mapping[str, Range]

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        """What the sampler draws from, by name."""
        return {name: searched.distribution for name, searched in self.ranges.items()}

    def convert(self, drawn: Mapping[str, Any]) -> dict[str, Value]:
        """The hyperparameters' values for what the sampler drew, in the space's order."""
        return {name: searched.convert(drawn[name]) for name, searched in self.ranges.items()}

    def make_candidate(self, values: Mapping[str, Value]) -> Hyperparameters:
        """The base configuration with these values in it.

        What the base derived from others (the copies of an enc1 that is enc0's, a pooled encoder's
        token dimension) is derived again, and tied tables keep the same dimension.

        Raises:
            HyperparameterError: the rules refuse the combination.
        """
        derived = set(_list_derived(self.base))
        kept = {name: text for name, text in self.base.to_strings().items() if name not in derived}
        width = values.get("enc0_token_embedding_dim")
        tied = self.base.tied_token_embedding_weight and self.base.enc1_network != "enc0"
        both = {"enc1_token_embedding_dim": width} if tied and width else {}
        return Hyperparameters.from_strings({**kept, **values, **both}, self.base.objective)


def make_space(base: Hyperparameters, settings: Sequence[str] = ()) -> Space:
    """The space that settings such as `enc_dim=64..512` name, by default `DEFAULT_SEARCH`.

    `enc_dim` is searched in steps that its network divides, and the optimizers of a row_sparse
    table are those that it allows. By default nothing is searched that would change nothing.

    Raises:
        InputError: a setting is wrong, changes nothing, or the rules refuse a value of it.
    """
    ranges = _read_ranges(settings) if settings else _choose_default_ranges(base)
    for name in ranges:
        if reason := explain_idle(base, name, ranges):
            raise InputError(f"--tune {name}: {reason}")
    if "optimizer" in ranges and "optimizer" not in _find_explicit(settings):
        ranges["optimizer"] = _allow_optimizers(base, ranges["optimizer"])
    if "enc_dim" in ranges:
        ranges["enc_dim"] = _add_steps(base, ranges)
    space = Space(base, ranges)
    _check_ends(space)
    return space


def _check_ends(space: Space) -> None:
    """Tries the ends of each range (all values of a small one), with the others at their first."""
    first = {name: searched.examples[0] for name, searched in space.ranges.items()}
    for name, searched in space.ranges.items():
        for value in searched.examples:
            try:
                space.make_candidate({**first, name: value})
            except HyperparameterError as error:
                raise InputError(f"--tune {name}={searched}: {error.problems[0]}") from error


def _add_steps(base: Hyperparameters, ranges: Mapping[str, Range]) -> Range:
    """enc_dim's range, in steps that every number of layers searched divides."""
    searched = ranges["enc_dim"]
    if not isinstance(searched, Interval):
        return searched
    step = math.lcm(*(parts for side in (0, 1) for parts in _count_parts(base, ranges, side)))
    with_step = replace(searched, step=step)
    if with_step.empty:
        raise InputError(
            f"--tune enc_dim={searched}: holds no multiple of {step}, which its networks need"
        )
    return with_step


def _count_parts(base: Hyperparameters, ranges: Mapping[str, Range], side: int) -> tuple[int, ...]:
    """The numbers of equal parts that make up the encodings of a side's networks."""
    encoder = base.encoder(side)
    if encoder.network != "hcnn":
        return (2,) if encoder.network == "bilstm" else (1,)
    owner = 0 if base.enc1_network == "enc0" else side
    layers = ranges.get(f"enc{owner}_layers")
    return tuple(map(int, layers.examples)) if layers else (encoder.layers,)


def _read_ranges(settings: Sequence[str]) -> dict[str, Range]:
    found: dict[str, Range] = {}
    for name, searched in map(read_range, settings):
        if name in found:
            raise InputError(f"--tune {name}: is named twice")
        found[name] = searched
    return found


def _choose_default_ranges(base: Hyperparameters) -> dict[str, Range]:
    found = dict(map(read_range, DEFAULT_SEARCH))
    return {name: found[name] for name in found if not explain_idle(base, name, found)}


def _find_explicit(settings: Sequence[str]) -> set[str]:
    """The names whose ranges were given, not only named."""
    return {setting.partition("=")[0].strip() for setting in settings if "=" in setting}


def _allow_optimizers(base: Hyperparameters, optimizers: Range) -> Range:
    """The documented optimizers that the base's token tables can be trained with."""
    allowed = tuple(name for name in optimizers.examples if name in ROW_SPARSE_OPTIMIZERS)
    sparse = base.token_embedding_storage_type == "row_sparse"
    return Values(allowed) if sparse else optimizers


def _list_derived(base: Hyperparameters) -> Iterator[str]:
    """Names whose values in `base` follow from others."""
    if base.enc1_network == "enc0":
        yield from (f"enc1_{suffix}" for suffix in ENCODER)
    for side in (0, 1):
        if base.encoder(side).network == "pooled_embedding":
            yield f"enc{side}_token_embedding_dim"
