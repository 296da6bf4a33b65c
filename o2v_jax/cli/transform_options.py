"""Options of `o2v transform` that its server has too, read by one rule."""

from typing import TYPE_CHECKING, Any

import click

from o2v_jax.errors import InputError

if TYPE_CHECKING:
    from o2v_jax.data import Format
    from o2v_jax.server.media_types import ContentType

    _Choice = click.Choice[str]
    _ContentTypes = click.ParamType[ContentType]
    _Accepts = click.ParamType[Format | None]
else:  # where click is older, these are not generic
    _Choice, _ContentTypes, _Accepts = click.Choice, click.ParamType, click.ParamType

IN_FLIGHT_MB, PAYLOAD_MB, CONCURRENT = 100, 6, 2  # as CreateTransformJob has them
_FORMATS = "'application/jsonlines', 'application/json'"
_STRATEGIES = {"MULTI_RECORD": "MultiRecord", "SINGLE_RECORD": "SingleRecord"}


def normalize_strategy(text: object) -> str | None:
    """MultiRecord or SingleRecord, however that is spelled."""
    from o2v_jax.server.settings import read_strategy

    return _STRATEGIES.get(read_strategy(text) or "") if isinstance(text, str) else None


class Strategy(_Choice):
    """MultiRecord or SingleRecord, also as the server's variables spell them."""

    def __init__(self) -> None:
        super().__init__([*_STRATEGIES.values()])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """MultiRecord or SingleRecord."""
        return super().convert(normalize_strategy(value) or value, param, ctx)


class ContentTypeOption(_ContentTypes):
    """A Content-Type as a request has it."""

    name = "media type"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "ContentType":
        """Its format and parameters."""
        from o2v_jax.server.media_types import MEDIA_TYPES, read_content_type

        try:
            return read_content_type(value)
        except InputError as error:
            known = value.partition(";")[0].strip().lower() in MEDIA_TYPES
            reason = str(error) if known else f"{value!r} is not one of {_FORMATS}."
            self.fail(reason, param, ctx)


class AcceptOption(_Accepts):
    """An Accept header as a request has it."""

    name = "media type"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Format | None":
        """The format; None where the header leaves it open."""
        from o2v_jax.server.settings import read_accept

        try:
            return read_accept(value)
        except InputError:
            self.fail(f"{value!r} is not one of {_FORMATS}.", param, ctx)


def choose_payloads(
    payload: int | None, concurrent: int | None, said: dict[str, Any]
) -> tuple[int, int]:
    """MB of the largest payload, 0 for no limit, and payloads at a time.

    Args:
        payload: as it was given, if it was.
        concurrent: as it was given; 0 as if it was not. It makes no payload smaller than usual:
            what records a payload has decides which results there are, and whose they are.
        said: what a server says of itself, in /execution-parameters.

    Raises:
        click.UsageError: together they are too many.
    """
    from o2v_jax.server import settings as server

    usual = _read_number(said, "MaxPayloadInMB") or PAYLOAD_MB
    most = _read_number(said, "MaxConcurrentTransforms") or CONCURRENT
    if payload == 0:
        return 0, concurrent or most
    payload = usual if payload is None and concurrent else payload
    payload, concurrent = server.fit_payloads(
        payload, concurrent, usual_payload=usual, usual_concurrent=most
    )
    if concurrent * payload > IN_FLIGHT_MB:
        raise click.UsageError(
            f"--max-concurrent-transforms {concurrent} times --max-payload {payload} must "
            f"be at most {IN_FLIGHT_MB} MB"
        )
    return payload, concurrent


def _read_number(said: dict[str, Any], name: str) -> int | None:
    value = said.get(name)
    return value if type(value) is int and 0 < value <= IN_FLIGHT_MB else None
