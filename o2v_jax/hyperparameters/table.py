"""The table of hyperparameters in the Object2Vec documentation, as a typed, frozen configuration.

Names, ranges and defaults are the documentation's; the defaults agree with the configuration
that the original prints.
"""
# ruff: noqa: RUF009 - the calls declare fields, they make no shared defaults

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

from o2v_jax.arguments import require_instance
from o2v_jax.errors import HyperparameterError, InputError
from o2v_jax.hyperparameters.constraints import check_in_batch, settle
from o2v_jax.hyperparameters.draft import Draft, read_mapping
from o2v_jax.hyperparameters.encoder import EncoderConfig, Network
from o2v_jax.hyperparameters.objective import InBatchObjective
from o2v_jax.hyperparameters.text import format_value
from o2v_jax.hyperparameters.values import (
    Required,
    Unset,
    auto_or_integer,
    choice,
    choices,
    file_name,
    flag,
    integer,
    lines_of,
    number,
)

EncoderNetwork: TypeAlias = Literal["enc0", "hcnn", "bilstm", "pooled_embedding"]
Comparator: TypeAlias = Literal["hadamard", "concat", "abs_diff"]
MlpActivation: TypeAlias = Literal["tanh", "relu", "linear"]
Optimizer: TypeAlias = Literal["adadelta", "adagrad", "adam", "sgd", "rmsprop"]
OutputLayer: TypeAlias = Literal["softmax", "mean_squared_error"]
StorageType: TypeAlias = Literal["dense", "row_sparse"]

_log = logging.getLogger("o2v_jax")


@dataclass(frozen=True, kw_only=True)
class Hyperparameters:
    """Every hyperparameter of Object2Vec, checked and resolved.

    Construction checks every value and every rule between values, then stores resolved values:
    "auto" layers as a number (0 for pooled_embedding, which has none), a pooled encoder's
    token embedding dimension as `enc_dim`, `enc1_*` as `enc0_*` where `enc1_network` is enc0.
    Constructing again from resolved values changes and logs nothing.

    `objective` is this library's own and not one of the documented hyperparameters. None is
    Object2Vec's loss on labelled pairs. With an `InBatchObjective` a model has no comparator, so
    that comparator_list, mlp_layers, mlp_dim, mlp_activation and num_classes say nothing.

    >>> hyperparameters = Hyperparameters(enc0_max_seq_len=82, enc0_vocab_size=43540, enc_dim=16)
    >>> hyperparameters.encoder(1).layers
    4

    Raises:
        HyperparameterError: something is wrong; it holds every problem, not only the first.
    """

    enc0_max_seq_len: int = integer(1, 5000, Required.ALWAYS)
    enc1_max_seq_len: int = integer(1, 5000, Required.UNLESS_COPIED)
    enc0_vocab_size: int = integer(2, 3_000_000, Required.ALWAYS)
    enc1_vocab_size: int = integer(2, 3_000_000, Required.UNLESS_COPIED)
    bucket_width: int = integer(0, 100, default=0)
    comparator_list: tuple[Comparator, ...] = choices(Comparator)
    dropout: float = number(0.0, 1.0, default=0.0)
    early_stopping_patience: int = integer(1, 5, default=3)
    early_stopping_tolerance: float = number(1e-6, 0.1, default=0.01)
    enc_dim: int = integer(4, 10_000, default=4096)
    enc0_network: Network = choice(Network, default="hcnn")
    enc1_network: EncoderNetwork = choice(EncoderNetwork, default="enc0")
    enc0_cnn_filter_width: int = integer(1, 9, default=3)
    enc1_cnn_filter_width: int = integer(1, 9, default=3)
    enc0_layers: int = auto_or_integer(1, 4)
    enc1_layers: int = auto_or_integer(1, 4)
    enc0_token_embedding_dim: int = integer(2, 1000, default=300)
    enc1_token_embedding_dim: int = integer(2, 1000, default=300)
    enc0_pretrained_embedding_file: str = file_name()
    enc1_pretrained_embedding_file: str = file_name()
    enc0_freeze_pretrained_embedding: bool = flag(default=True)
    enc1_freeze_pretrained_embedding: bool = flag(default=True)
    enc0_vocab_file: str = file_name()
    enc1_vocab_file: str = file_name()
    epochs: int = integer(1, 100, default=30)
    learning_rate: float = number(1e-6, 1.0, default=0.0004)
    mini_batch_size: int = integer(1, 10_000, default=32)
    mlp_activation: MlpActivation = choice(MlpActivation, default="linear")
    mlp_dim: int = integer(2, 10_000, default=512)
    mlp_layers: int = integer(0, 10, default=2)
    negative_sampling_rate: int = integer(0, None, default=0)
    num_classes: int = integer(2, 30, default=2)
    optimizer: Optimizer = choice(Optimizer, default="adam")
    output_layer: OutputLayer = choice(OutputLayer, default="softmax")
    tied_token_embedding_weight: bool = flag(default=False)
    token_embedding_storage_type: StorageType = choice(StorageType, default="dense")
    weight_decay: float = number(0.0, 10_000.0, default=0.0)
    objective: InBatchObjective | None = None

    def __post_init__(self) -> None:
        kinds = InBatchObjective, type(None)
        require_instance("objective", self.objective, kinds, "an InBatchObjective, or None")
        values = {name: getattr(self, name) for name in lines_of(self)}
        given = {name: value for name, value in values.items() if value is not Unset.UNSET}
        draft = Draft(lines_of(self), given)
        settle(draft)
        if self.objective is not None:
            draft.clashes.extend(check_in_batch(draft))
        if draft.problems:
            raise HyperparameterError(draft.problems)
        for name, value in draft.values.items():
            object.__setattr__(self, name, value)
        for note in draft.notes:
            _log.warning(note)

    @classmethod
    def from_strings(
        cls, mapping: Mapping[str, object], objective: InBatchObjective | None = None
    ) -> "Hyperparameters":
        """Reads a string-to-string map such as SageMaker passes; JSON's own types are read too.

        Names that begin with "_" are the original's internals: ignored, with one log line.
        `objective` is not in the map, because it is not one of them.

        >>> Hyperparameters.from_strings({"enc0_max_seq_len": "5", "enc0_vocab_size": "9"}).epochs
        30

        Raises:
            HyperparameterError: unknown names, wrong or missing values; it holds every problem.
        """
        known, unknown = read_mapping(mapping, lines_of(cls))
        try:
            hyperparameters = cls(**known, objective=objective)
        except HyperparameterError as error:
            raise HyperparameterError([*unknown, *error.problems]) from None
        if unknown:
            raise HyperparameterError(unknown)
        return hyperparameters

    def to_strings(self) -> dict[str, str]:
        """The string-to-string map that `from_strings` reads into an equal object.

        Resolved values outside their documented ranges, which only a pooled encoder has, follow
        from the others and are left out: the original accepts the map too.
        """
        lines = lines_of(self)
        values = vars(self)
        return {
            name: format_value(values[name])
            for name in lines
            if lines[name].rule.accept(values[name]) is not None
        }

    def encoder(self, side: int) -> EncoderConfig:
        """What the encoder of a side (0 or 1) needs to know, its network looked through "enc0".

        Raises:
            InputError: there is no such side.
        """
        if side not in (0, 1):
            raise InputError(f"side={side!r}: an encoder's side must be 0 or 1")
        copied = side == 1 and self.enc1_network == "enc0"
        names = ("max_seq_len", "vocab_size", "token_embedding_dim", "layers", "cnn_filter_width")
        return EncoderConfig(
            network=getattr(self, "enc0_network" if copied else f"enc{side}_network"),
            enc_dim=self.enc_dim,
            dropout=self.dropout,
            **{name: getattr(self, f"enc{side}_{name}") for name in names},
        )

    @property
    def vocab_sizes(self) -> tuple[int, int]:
        """Numbers of token ids of in0 and in1, padding included."""
        return self.encoder(0).vocab_size, self.encoder(1).vocab_size

    @property
    def outputs(self) -> int:
        """Scores of a record: one a class, or 1 for regression and for a similarity."""
        return self.num_classes if self.is_classification else 1

    @property
    def is_classification(self) -> bool:
        """Whether scores are probabilities of classes."""
        return self.output_layer == "softmax" and self.objective is None


class TableRow(NamedTuple):
    """One line of the table in words."""

    name: str
    rule: str
    default: str


def hyperparameter_table() -> list[TableRow]:
    """Every hyperparameter in the documented order, with its rule and its default in words."""
    lines = lines_of(Hyperparameters)
    return [TableRow(name, line.rule.text, line.default_text) for name, line in lines.items()]
