"""The model in memory, its nested parameters, and which model is the default."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from o2v_jax.array_types import Index
from o2v_jax.checkpoint.summary import (
    describe_best,
    summarize_inputs,
    summarize_network,
    summarize_params,
)
from o2v_jax.checkpoint.tokenizer_files import VOCABULARY_FILES
from o2v_jax.data.nested import Params, iterate_leaves
from o2v_jax.data.tokenizers import Tokenizers
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.util import require_local

Histogram: TypeAlias = tuple[Index, Index]

CONFIG = "config.json"
PARAMS = "params.safetensors"
METRICS = "metrics.json"
PROVENANCE = "provenance.json"
CARD = "README.md"
MODEL_FILES = (CONFIG, PARAMS, *VOCABULARY_FILES, METRICS, PROVENANCE, CARD)


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained model. It checks none of its fields: a `Scorer` and `save` do.

    Attributes:
        config: its hyperparameters.
        params: nested dict of float32 arrays (NumPy's, or on a device), named and shaped as
            `o2v_jax.model.parameter_shapes(config)` says, dots for nesting. Flax's FrozenDict and
            `nnx.State` are taken too.
        tokenizers: of in0 and in1: how raw values, such as texts, become token ids; None: the model
            is known to take ids alone.
        metrics: figures by name. One that is not finite is written as JSON's null.
        provenance: how the model was made (versions, command, seed, data): any JSON object.
        length_histogram: for each side the number of training sequences by length, int64
            `[longest + 1]`; trailing zeros are not kept on disk.
        class_names: what the classes are called, in their order; empty: their numbers alone.
        card: the model card, Markdown for people; empty: there is none. It may be edited on disk.
        history: of a model that was just trained, for every epoch the metrics by channel and name;
            not kept on disk.
    """

    config: Hyperparameters
    params: Params
    tokenizers: Tokenizers | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    length_histogram: Histogram | None = None
    class_names: tuple[str, ...] = ()
    card: str = ""
    history: Sequence[Mapping[str, Mapping[str, float]]] = ()

    def __repr__(self) -> str:
        """A few lines: the parameters of a model are too many to print."""
        try:
            lines = [
                *summarize_network(self.config),
                *summarize_inputs(self.tokenizers, self.class_names),
                *summarize_params(self.params),
                *filter(None, [describe_best(self.metrics)]),
            ]
        except (AttributeError, TypeError, ValueError) as error:  # its fields are not checked
            lines = [f"its fields are not a model's: {error}"]
        return "\n  ".join(["Model", *lines])


def flatten(params: Params) -> dict[str, npt.NDArray[Any]]:
    """Nested parameters as `{"embed_0.weight": array, ...}`, contiguous NumPy arrays."""
    return {name: np.asarray(array, order="C") for name, array in iterate_leaves(params)}


def nest(arrays: Mapping[str, npt.NDArray[Any]]) -> Params:
    """The inverse of `flatten`.

    >>> nest({"mlp.fc_0.bias": 1, "mlp.fc_0.weight": 2})
    {'mlp': {'fc_0': {'bias': 1, 'weight': 2}}}
    """
    params: Params = {}
    for name, array in arrays.items():
        *path, last = name.split(".")
        branch = params
        for key in path:
            branch = branch.setdefault(key, {})
        branch[last] = array
    return params


SAGEMAKER_MODEL = Path("/opt/ml/model")
DEMONSTRATION_MODEL = Path(__file__).parents[2] / "checkpoints" / "snli-hcnn"


def default_model(environment: Mapping[str, str]) -> Path:
    """O2V_MODEL, else SageMaker's model directory, else the demonstration model of this project.

    Raises:
        InputError: nothing is named, and neither directory exists, or a URL is named.
    """
    if named := environment.get("O2V_MODEL", "").strip():
        require_local(named)
        return Path(named)
    for path in (SAGEMAKER_MODEL, DEMONSTRATION_MODEL):
        if path.exists():
            return path
    raise InputError(
        f"no model: none is named by --model or O2V_MODEL, and none is in {SAGEMAKER_MODEL}; "
        "give --model (the demonstration model comes only with a checkout)"
    )
