"""The in-batch softmax objective, an alternative to Object2Vec's loss on labelled pairs."""

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from numbers import Real
from typing import Any, Literal, TypeAlias, get_args

from o2v_jax.arguments import describe, require_choice, require_instance, require_integer
from o2v_jax.errors import InputError

Similarity: TypeAlias = Literal["cosine", "inner_product"]

_log = logging.getLogger("o2v_jax")

IN_BATCH = "in_batch"
# hyperparameters of the comparator and its labels, which a model of this objective does not have
UNUSED = ("comparator_list", "mlp_activation", "mlp_dim", "mlp_layers", "num_classes")
TEMPERATURES = (0.001, 1000.0)
MOST_NEGATIVES = 1000


@dataclass(frozen=True, kw_only=True)
class InBatchObjective:
    """Trains for retrieval: the in1 of each pair competes with every other in1 of its batch.

    A model of this objective has two encoders and no comparator: its score is the similarity of two
    encodings. The loss is the cross-entropy of the softmax over `similarity / temperature`, the
    mean of both directions: in1 given in0, and in0 given in1 (van den Oord et al. 2018,
    "Representation learning with contrastive predictive coding"; Radford et al. 2021). Records may
    name hard negatives, in1 that are known to be wrong: they compete for every in0 of their batch.

    It is not one of Object2Vec's hyperparameters.

    Attributes:
        similarity: "cosine", or "inner_product", which can also learn how popular an object is.
        temperature: divides the similarities; in 0.001..1000. About 0.05 suits the cosine,
            and 1 the inner product.
        correct_popularity: subtracts the logarithm of each object's frequency in the training data
            in training, because frequent objects occur as negatives more often (Yi et al. 2019,
            "Sampling-bias-corrected neural modeling for large corpus item recommendations").
        negatives_per_pair: at most so many of a pair's hard negatives take part in an epoch, in
            0..1000; of more, others do in other epochs.

    Raises:
        InputError: a value is of another type or out of range.
    """

    similarity: Similarity = "cosine"
    temperature: float = 0.05
    correct_popularity: bool = False
    negatives_per_pair: int = 4

    def __post_init__(self) -> None:
        choices = get_args(Similarity)
        require_choice("similarity", self.similarity, choices, " or ".join(choices))
        require_instance("correct_popularity", self.correct_popularity, bool, "True or False")
        number = self.temperature
        is_number = isinstance(number, Real) and not isinstance(number, bool)
        low, high = TEMPERATURES
        if not is_number or not low <= number <= high:
            raise InputError(f"temperature={describe(number)} must be a number in {low}..{high:g}")
        object.__setattr__(self, "temperature", float(number))
        name = "negatives_per_pair"
        most = require_integer(name, self.negatives_per_pair, 0, MOST_NEGATIVES)
        object.__setattr__(self, name, most)


def warn_of_unused(given: Iterable[str], objective: InBatchObjective | None) -> None:
    """Logs which of the hyperparameters that a caller gave an objective does not use."""
    unused = sorted({*given} & {*UNUSED}) if objective is not None else []
    if unused:
        reason = "the in-batch objective compares encodings by their similarity"
        _log.warning("%s: not used, because %s", ", ".join(unused), reason)


def objective_to_json(objective: InBatchObjective) -> dict[str, Any]:
    """`{"name": "in_batch", "similarity": ..., ...}`."""
    return {"name": IN_BATCH, **asdict(objective)}


def objective_from_json(value: Any) -> InBatchObjective:
    """The inverse of `objective_to_json`.

    Raises:
        InputError: it is not such an object, or a value in it is wrong.
    """
    names = [field.name for field in fields(InBatchObjective)]
    if not isinstance(value, dict) or value.get("name") != IN_BATCH:
        raise InputError(f'must be an object with the name "{IN_BATCH}", got {describe(value)}')
    unknown = [name for name in value if name not in ("name", *names)]
    if unknown:
        raise InputError(f"{describe(unknown[0])} is not one of {', '.join(names)}")
    return InBatchObjective(**{name: value[name] for name in names if name in value})
