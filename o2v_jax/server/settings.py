"""The server's settings, read from the environment variables that SageMaker sets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import msgspec

from o2v_jax.checkpoint import default_model
from o2v_jax.constants import MIB, DType, Mode
from o2v_jax.data import Format
from o2v_jax.errors import InputError
from o2v_jax.server.errors import AcceptError
from o2v_jax.server.media_types import choose_format
from o2v_jax.util import require_local

MAX_PAYLOAD_IN_MB = 6  # of a real-time endpoint
MAX_BATCH_IN_MB = 100  # of concurrency x payload in a batch transform job
CONCURRENCY = 4
_STRATEGIES = {
    "multirecord": "MULTI_RECORD",
    "singlerecord": "SINGLE_RECORD",
}

_Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
_Megabytes = Annotated[int, msgspec.Meta(ge=0, le=MAX_BATCH_IN_MB)]
_Devices = Annotated[int, msgspec.Meta(ge=1, le=1024)]  # of one host


@dataclass(frozen=True)
class ServerSettings:
    """How to serve; the environment variable that sets each is in brackets.

    Attributes:
        model: model directory or archive [O2V_MODEL]; None: `o2v_jax.checkpoint.default_model`.
        preferred_mode: what to warm up, None for both [INFERENCE_PREFERRED_MODE].
        port: [SAGEMAKER_BIND_TO_PORT].
        max_payload_mb: MiB of the largest body [SAGEMAKER_MAX_PAYLOAD_IN_MB]; 0 means the most
            that is possible.
        batch_strategy: MULTI_RECORD or SINGLE_RECORD [SAGEMAKER_BATCH_STRATEGY].
        max_concurrent: how many requests of the largest size the server takes at a time
            [SAGEMAKER_MAX_CONCURRENT_TRANSFORMS]; 0 means the default. So many are never refused
            for their size, and so many long bodies are decoded at a time; it takes many more small
            requests.
        dtype: sets the encoders' parameters and matmul precision [O2V_DTYPE].
        devices: how many devices to serve on, None for all of them [O2V_DEVICES].
        default_accept: format of a response where the request leaves it open, None for the format
            of the request [SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT].
        index: directory of an index that POST /search searches [O2V_INDEX]; None: there is none.
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
    index: Path | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ServerSettings":
        """Reads and validates the variables; an empty one counts as not set.

        Raises:
            InputError: a variable has a value that it cannot have.
        """
        given = {name: value.strip() for name, value in environment.items() if value.strip()}
        payload, concurrent = _read_payload_and_concurrency(given)
        return cls(
            model=_read_path(given, "O2V_MODEL"),
            preferred_mode=_read(given, "INFERENCE_PREFERRED_MODE", Mode),
            port=_read(given, "SAGEMAKER_BIND_TO_PORT", _Port) or cls.port,
            max_payload_mb=payload,
            batch_strategy=_read_batch_strategy(given),
            max_concurrent=concurrent,
            default_accept=_read_default_accept(given),
            dtype=_read(given, "O2V_DTYPE", DType) or cls.dtype,
            devices=_read(given, "O2V_DEVICES", _Devices),
            index=_read_path(given, "O2V_INDEX"),
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


def _read_path(given: Mapping[str, str], name: str) -> Path | None:
    text = given.get(name, "")
    require_local(text)
    return Path(text) if text else None


def _read(given: Mapping[str, str], name: str, kind: Any) -> Any:
    """Converts a variable to a type; None where it is not given."""
    text = given.get(name)
    if text is None:
        return None
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InputError(f"{name}={text} must be {_describe(kind)}") from error


def _describe(kind: Any) -> str:
    """Returns the values that a type allows, in words."""
    known = msgspec.inspect.type_info(kind)
    if isinstance(known, msgspec.inspect.IntType):
        return f"an integer in {known.ge}..{known.le}"
    return " or ".join(get_args(kind))


def fit_payloads(
    payload: int | None,
    concurrent: int | None,
    *,
    usual_payload: int = MAX_PAYLOAD_IN_MB,
    usual_concurrent: int = CONCURRENCY,
) -> tuple[int, int]:
    """Chooses the MiB of the largest payload, and payloads at a time, where they were not given.

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


def _read_payload_and_concurrency(given: Mapping[str, str]) -> tuple[int, int]:
    payload, concurrent = fit_payloads(
        _read(given, "SAGEMAKER_MAX_PAYLOAD_IN_MB", _Megabytes),
        _read(given, "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS", _Megabytes),
    )
    if payload * concurrent > MAX_BATCH_IN_MB:
        raise InputError(
            f"SAGEMAKER_MAX_CONCURRENT_TRANSFORMS={concurrent} times "
            f"SAGEMAKER_MAX_PAYLOAD_IN_MB={payload} must be at most {MAX_BATCH_IN_MB}"
        )
    return payload, concurrent


def read_strategy(text: str) -> str | None:
    """Reads MULTI_RECORD or SINGLE_RECORD in every spelling of SageMaker; None if neither.

    >>> read_strategy("SingleRecord"), read_strategy("multi_record"), read_strategy("all")
    ('SINGLE_RECORD', 'MULTI_RECORD', None)
    """
    return _STRATEGIES.get(text.strip().replace("_", "").lower())


def read_accept(text: str) -> Format | None:
    """Reads the format that an Accept header asks for; None where it leaves that open.

    Raises:
        AcceptError: it rules out both formats.

    >>> read_accept("application/json; charset=utf-8"), read_accept("*/*")
    (<Format.JSON: 'application/json'>, None)
    """
    either = {choose_format(text, preferred) for preferred in Format}
    return either.pop() if len(either) == 1 else None


def _read_batch_strategy(given: Mapping[str, str]) -> str:
    text = given.get("SAGEMAKER_BATCH_STRATEGY", "MULTI_RECORD")
    strategy = read_strategy(text)
    if strategy is None:
        raise InputError(f"SAGEMAKER_BATCH_STRATEGY={text} must be MULTI_RECORD or SINGLE_RECORD")
    return strategy


def _read_default_accept(given: Mapping[str, str]) -> Format | None:
    text = given.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "")
    try:
        return read_accept(text)
    except AcceptError as error:
        raise InputError(
            f"SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT={text} must be {' or '.join(Format)}"
        ) from error
