"""What is searched for each hyperparameter: the documented ranges, or narrower ones as text."""

import math
from dataclasses import dataclass
from typing import TypeAlias

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import Hyperparameters
from o2v_jax.hyperparameters.text import find_closest, format_value
from o2v_jax.hyperparameters.values import Choice, Integer, lines_of

Value: TypeAlias = float | str

# "Tunable Object2Vec Hyperparameters" in the Amazon SageMaker developer guide
DOCUMENTED = {
    "dropout": "0..1",
    "early_stopping_patience": "1..5",
    "early_stopping_tolerance": "0.001..0.1",
    "enc_dim": "4..4096",
    "enc0_cnn_filter_width": "1..5",
    "enc0_layers": "1..4",
    "enc0_token_embedding_dim": "5..300",
    "enc1_cnn_filter_width": "1..5",
    "enc1_layers": "1..4",
    "enc1_token_embedding_dim": "5..300",
    "epochs": "4..20",
    "learning_rate": "1e-6..1",
    "mini_batch_size": "1..8192",
    "mlp_activation": "tanh,relu,linear",
    "mlp_dim": "16..1024",
    "mlp_layers": "1..4",
    "optimizer": "adagrad,adam,rmsprop,sgd,adadelta",
    "weight_decay": "0..1",
}
LOGARITHMIC = {
    "early_stopping_tolerance",
    "enc_dim",
    "enc0_token_embedding_dim",
    "enc1_token_embedding_dim",
    "learning_rate",
    "mini_batch_size",
    "mlp_dim",
    "weight_decay",
}
LEAST_NUMBER = 1e-6  # of a logarithmic range that begins at 0
_DIGITS = 4  # significant digits of a real number
_FEW = 16  # so many whole numbers can all be tried beforehand


@dataclass(frozen=True)
class Values:
    """One of a few values, which have no order."""

    values: tuple[Value, ...]

    @property
    def distribution(self) -> BaseDistribution:
        """What the sampler draws from."""
        return CategoricalDistribution(self.values)

    @property
    def examples(self) -> tuple[Value, ...]:
        """Values that show whether the hyperparameters' rules admit this range."""
        return self.values

    def convert(self, drawn: Value) -> Value:
        """The hyperparameter's value for what the sampler drew."""
        return drawn

    def __str__(self) -> str:
        return ",".join(map(format_value, self.values))


@dataclass(frozen=True)
class Interval:
    """Numbers in `low..high`; `whole` ones are multiples of `step`.

    A logarithmic interval is sampled on a logarithmic scale. If it begins at 0, it is sampled from
    1e-6 on, and in a decade below that, whose numbers all mean 0.
    """

    low: float
    high: float
    whole: bool
    log: bool
    step: int = 1

    @property
    def distribution(self) -> BaseDistribution:
        """What the sampler draws from: for whole numbers the multiplier of `step`."""
        if self.whole:
            low, high = math.ceil(self.low / self.step), math.floor(self.high / self.step)
            return IntDistribution(low, high, log=self.log)
        return FloatDistribution(self.least / 10 if self._zero else self.low, self.high, self.log)

    @property
    def examples(self) -> tuple[Value, ...]:
        """Values that show whether the hyperparameters' rules admit this range: all, if few."""
        if not self.whole:
            return self.low, self.high
        first, last = math.ceil(self.low / self.step), math.floor(self.high / self.step)
        found = range(first * self.step, last * self.step + 1, self.step)
        return tuple(found) if len(found) <= _FEW else (found[0], found[-1])

    @property
    def empty(self) -> bool:
        """Whether there is no multiple of `step` in it."""
        return math.ceil(self.low / self.step) > math.floor(self.high / self.step)

    def convert(self, drawn: Value) -> Value:
        """The hyperparameter's value for what the sampler drew."""
        if self.whole:
            return int(drawn) * self.step
        if self._zero and float(drawn) < self.least:
            return 0.0
        return min(max(float(f"{drawn:.{_DIGITS}g}"), self.low), self.high)

    def __str__(self) -> str:
        steps = f" in steps of {self.step}" if self.step > 1 else ""
        scale = " (log)" if self.log else ""
        return f"{format_value(self.low)}..{format_value(self.high)}{steps}{scale}"

    @property
    def _zero(self) -> bool:
        return self.log and self.low == 0

    @property
    def least(self) -> float:
        """The least number above 0, of a logarithmic interval that begins at 0."""
        return min(LEAST_NUMBER, self.high / 1000)


Range: TypeAlias = Values | Interval


def read_range(setting: str) -> tuple[str, Range]:
    """The hyperparameter's name and range from NAME, NAME=LOW..HIGH or NAME=VALUE,VALUE.

    >>> name, searched = read_range("learning_rate=1e-4..1e-2")
    >>> name, str(searched)
    ('learning_rate', '0.0001..0.01 (log)')

    Raises:
        InputError: the name is not tunable, or a value is not one of that hyperparameter.
    """
    name, given, text = (part.strip() for part in setting.partition("="))
    if name not in DOCUMENTED:
        nearest = find_closest(name, DOCUMENTED)
        hint = f"; the nearest tunable name is {nearest}" if nearest else ""
        raise InputError(f"--tune {name} is not tunable{hint}")
    text = text if given else DOCUMENTED[name]
    low, dots, high = text.partition("..")
    return name, _read_interval(name, low, high) if dots else _read_values(name, text)


def _read_interval(name: str, low: str, high: str) -> Interval:
    rule = lines_of(Hyperparameters)[name].rule
    if isinstance(rule, Choice):
        raise InputError(f"--tune {name}={low}..{high}: takes names, such as {DOCUMENTED[name]}")
    first, last = float(_read_value(name, low)), float(_read_value(name, high))
    if not first < last:
        raise InputError(f"--tune {name}={low}..{high}: must begin below where it ends")
    return Interval(first, last, whole=isinstance(rule, Integer), log=name in LOGARITHMIC)


def _read_values(name: str, text: str) -> Values:
    found = tuple(_read_value(name, part) for part in text.split(","))
    if len(set(found)) < max(2, len(found)):
        raise InputError(
            f"--tune {name}={text}: must be LOW..HIGH or different values with commas between"
        )
    return Values(found)


def _read_value(name: str, text: str) -> Value:
    line = lines_of(Hyperparameters)[name]
    value = line.rule.accept(line.rule.read(text.strip()))
    if not isinstance(value, int | float if not isinstance(line.rule, Choice) else str):
        raise InputError(f"--tune {line.describe_refusal(name, text.strip())}")
    return value
