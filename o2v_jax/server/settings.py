"""The server's settings, read from the environment variables that SageMaker sets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from o2v_jax.checkpoint import default_model
from o2v_jax.data import Format
from o2v_jax.errors import DType, InputError, Mode
from o2v_jax.server.errors import AcceptError
from o2v_jax.server.media_types import choose_format
from o2v_jax.util import require_local

MIB = 1024 * 1024
MAX_PAYLOAD_IN_MB = 6  # of a real-time endpoint
MAX_BATCH_IN_MB = 100  # of concurrency x payload in a batch transform job
CONCURRENCY = 4
MOST_DEVICES = 1024  # of a host
_STRATEGIES = {
    "multirecord": "MULTI_RECORD",
    "singlerecord": "SINGLE_RECORD",
}


@dataclass(frozen=True)
class Settings:
    """How to serve; the environment variable that sets each is in brackets.

    Attributes:
        model: model directory or archive [O2V_MODEL]; None: `o2v_jax.checkpoint.default_model`.
        preferred_mode: what to warm up, None for both [INFERENCE_PREFERRED_MODE].
        port: [SAGEMAKER_BIND_TO_PORT].
        max_payload_mb: MiB of the largest body [SAGEMAKER_MAX_PAYLOAD_IN_MB]; 0 is read as the
            most that is possible.
        batch_strategy: MULTI_RECORD or SINGLE_RECORD [SAGEMAKER_BATCH_STRATEGY].
        max_concurrent: how many requests of the largest size the server takes at a time
            [SAGEMAKER_MAX_CONCURRENT_TRANSFORMS]; 0 is read as the default. So many are never
            refused for their size and are decoded at a time; of smaller ones many more are taken.
        dtype: what the encoders hold and multiply [O2V_DTYPE].
        devices: how many devices hold the model and work, None for all of them [O2V_DEVICES].
        default_accept: answers' format where a request leaves it open, None for the request's own
            [SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT].
    """

    model: Path | None = None
    preferred_mode: Mode | None = None
    port: int = 8080
    max_payload_mb: int = MAX_PAYLOAD_IN_MB
    batch_strategy: str = "MULTI_RECORD"
    max_concurrent: int = CONCURRENCY
    default_accept: Format | None = None
    dtype: DType = "float32"
    devices: int | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Reads and validates the variables; an empty one counts as not set.

        Raises:
            InputError: a variable has a value that it cannot have.
        """
        given = {name: value.strip() for name, value in environment.items() if value.strip()}
        payload, concurrent = _payload_and_concurrency(given)
        require_local(given.get("O2V_MODEL", ""))
        return cls(
            model=Path(given["O2V_MODEL"]) if "O2V_MODEL" in given else None,
            preferred_mode=_mode(given),
            port=_integer(given, "SAGEMAKER_BIND_TO_PORT", 1, 65535) or cls.port,
            max_payload_mb=payload,
            batch_strategy=_strategy(given),
            max_concurrent=concurrent,
            default_accept=_default_accept(given),
            dtype=_dtype(given),
            devices=_integer(given, "O2V_DEVICES", 1, MOST_DEVICES),
        )

    @property
    def model_path(self) -> Path:
        """Where the model is.

        Raises:
            InputError: none was named, and neither default exists.
        """
        return self.model or default_model({})

    @property
    def max_body_bytes(self) -> int:
        """The largest body, in bytes."""
        return self.max_payload_mb * MIB

    def execution_parameters(self) -> dict[str, object]:
        """The answer to GET /execution-parameters."""
        return {
            "MaxConcurrentTransforms": self.max_concurrent,
            "BatchStrategy": self.batch_strategy,
            "MaxPayloadInMB": self.max_payload_mb,
        }


def _integer(given: Mapping[str, str], name: str, low: int, high: int) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
        raise InputError(f"{name}={text} must be an integer in {low}..{high}")
    return int(text)


def fit_payloads(
    payload: int | None,
    concurrent: int | None,
    *,
    usual_payload: int = MAX_PAYLOAD_IN_MB,
    usual_concurrent: int = CONCURRENCY,
) -> tuple[int, int]:
    """MiB of the largest payload, and payloads at a time; what was not given makes room.

    The API reference of CreateTransformJob gives 0 a meaning: a payload without a limit, and as
    many transforms as the server wants.

    Args:
        payload: MiB, 0 for as many as possible, None where none are given.
        concurrent: payloads at a time; 0 and None leave it open.
        usual_payload: MiB where none are given.
        usual_concurrent: payloads at a time where they are left open.

    Returns:
        Both; their product is over MAX_BATCH_IN_MB only if both were given so.

    >>> fit_payloads(None, 20), fit_payloads(50, 0), fit_payloads(0, None)
    ((5, 20), (50, 2), (100, 1))
    """
    room = MAX_BATCH_IN_MB // (concurrent or 1)
    payload = payload or (min(usual_payload, room) if payload is None else room)
    return payload, concurrent or max(1, min(usual_concurrent, MAX_BATCH_IN_MB // payload))


def _payload_and_concurrency(given: Mapping[str, str]) -> tuple[int, int]:
    payload, concurrent = fit_payloads(
        _integer(given, "SAGEMAKER_MAX_PAYLOAD_IN_MB", 0, MAX_BATCH_IN_MB),
        _integer(given, "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", 0, MAX_BATCH_IN_MB),
    )
    if payload * concurrent > MAX_BATCH_IN_MB:
        raise InputError(
            f"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS={concurrent} times "
            f"SAGEMAKER_MAX_PAYLOAD_IN_MB={payload} must be at most {MAX_BATCH_IN_MB}"
        )
    return payload, concurrent


def _mode(given: Mapping[str, str]) -> Mode | None:
    text = given.get("INFERENCE_PREFERRED_MODE")
    for mode in get_args(Mode):
        if text == mode:
            return mode  # type: ignore[no-any-return]
    if text is None:
        return None
    raise InputError(f"INFERENCE_PREFERRED_MODE={text} must be {' or '.join(get_args(Mode))}")


def _dtype(given: Mapping[str, str]) -> DType:
    text = given.get("O2V_DTYPE", Settings.dtype)
    for dtype in get_args(DType):
        if text == dtype:
            return dtype  # type: ignore[no-any-return]
    raise InputError(f"O2V_DTYPE={text} must be {' or '.join(get_args(DType))}")


def read_strategy(text: str) -> str | None:
    """MULTI_RECORD or SINGLE_RECORD, as the environment and the API spell them; None if neither.

    >>> read_strategy("SingleRecord"), read_strategy("multi_record"), read_strategy("all")
    ('SINGLE_RECORD', 'MULTI_RECORD', None)
    """
    return _STRATEGIES.get(text.strip().replace("_", "").lower())


def read_accept(text: str) -> Format | None:
    """The format that an Accept header asks for; None where it leaves that open.

    Raises:
        AcceptError: it rules out both formats.

    >>> read_accept("application/json; charset=utf-8"), read_accept("*/*")
    (<Format.JSON: 'application/json'>, None)
    """
    either = {choose_format(text, preferred) for preferred in Format}
    return either.pop() if len(either) == 1 else None


def _strategy(given: Mapping[str, str]) -> str:
    text = given.get("SAGEMAKER_BATCH_STRATEGY", "MULTI_RECORD")
    strategy = read_strategy(text)
    if strategy is None:
        raise InputError(f"SAGEMAKER_BATCH_STRATEGY={text} must be MULTI_RECORD or SINGLE_RECORD")
    return strategy


def _default_accept(given: Mapping[str, str]) -> Format | None:
    text = given.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "")
    try:
        return read_accept(text)
    except AcceptError as error:
        raise InputError(
            f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT={text} must be {' or '.join(Format)}"
        ) from error
