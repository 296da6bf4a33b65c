"""The SageMaker container contract as functions of header values. Knows no Flask and no JAX.

Sources: the Amazon SageMaker developer guide ("Use Your Own Inference Code with Hosting Services")
and the Object2Vec documentation for `infer_max_seqlens`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import IO

import orjson
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from o2v_jax.data import Format
from o2v_jax.errors import LONGEST_REQUEST, InputError, RecordError

MEDIA_TYPES: Mapping[str, Format] = {
    "application/json": Format.JSON,
    "application/jsonlines": Format.JSON_LINES,
    "application/x-jsonlines": Format.JSON_LINES,
}
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
PATHS = (
    "POST /invocations, POST /endpoints/NAME/invocations, GET /ping, GET /execution-parameters and "
    "GET /metrics"
)
RETRY_AFTER_S = 1
_READABLE = " and ".join(Format)
_PARAMETER = re.compile(r";\s*(infer\w*)\s*=?\s*([^;]*)", re.IGNORECASE)
_SLASHES = re.compile("/{2,}")
_LENGTHS = re.compile(r"(\"?)\s*([0-9]{1,6})\s*,\s*([0-9]{1,6})\s*\1")


class MediaTypeError(InputError):
    """The request's Content-Type or Content-Encoding is not one that can be read."""


class AcceptError(InputError):
    """The request accepts no format that can be written."""


class TooLargeError(InputError):
    """The request's body is over the limit, or its answer would be."""


class StalledError(InputError):
    """The client has stopped sending its body."""


class BusyError(InputError):
    """The server has as many requests as it can take."""

    def __init__(self, message: str = "the server is busy: send the request again later") -> None:
        super().__init__(message)


STATUS: Mapping[type[Exception], int] = {
    RecordError: 400,
    InputError: 400,
    AcceptError: 406,
    StalledError: 408,
    TooLargeError: 413,
    MediaTypeError: 415,
    BusyError: 503,
}


@dataclass(frozen=True)
class ContentType:
    """What a Content-Type header says.

    Attributes:
        format: the body's format; None where there is no header and the body must tell.
        max_seq_lens: `infer_max_seqlens`, tokens of in0 and in1; None: the model's own.
    """

    format: Format | None = None
    max_seq_lens: tuple[int, int] | None = None


def merge_slashes(path: str) -> str:
    """A path with one slash where there are several, as behind a base URL that ends in a slash."""
    return _SLASHES.sub("/", path) if "//" in path else path


def status_of(error: Exception) -> int:
    """The HTTP status of an error: that of its nearest class in `STATUS`, else 500."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def error_body(message: str, *, path: str | None = None) -> bytes:
    """The JSON body of an error: "error" for people, "message" for botocore, which shows that."""
    return orjson.dumps({"error": message, "message": message} | ({"path": path} if path else {}))


def read_content_type(header: str | None) -> ContentType:
    """Reads a Content-Type such as `application/json; infer_max_seqlens=64,64`.

    Raises:
        MediaTypeError: not a media type that can be read, or not UTF-8.
        InputError: `infer_max_seqlens` is not two integers in 1..LONGEST_REQUEST.
    """
    if not header or not header.strip():
        return ContentType()
    media_type, parameters = parse_options_header(header)
    known = MEDIA_TYPES.get(media_type.lower())
    if known is None:
        raise MediaTypeError(f"Content-Type {media_type} cannot be read: use {_READABLE}")
    if parameters.get("charset", "utf-8").lower() not in {"utf-8", "utf8", "us-ascii"}:
        raise MediaTypeError(f"the charset {parameters['charset']} cannot be read: use utf-8")
    return ContentType(known, _max_seq_lens(header))


def _max_seq_lens(header: str) -> tuple[int, int] | None:
    # The documented value has a bare comma, which is not an HTTP token: header parsers cut it off.
    found = _PARAMETER.findall(header)
    if not found:
        return None
    (name, value), *more = found
    lengths = _LENGTHS.fullmatch(value.strip())
    if name.lower() != "infer_max_seqlens" or more or not lengths:
        raise InputError(f"{name}={value} was sent, but infer_max_seqlens=64,64 is the form")
    in0, in1 = int(lengths[2]), int(lengths[3])
    if not 1 <= min(in0, in1) <= max(in0, in1) <= LONGEST_REQUEST:
        raise InputError(f"infer_max_seqlens={value} is outside 1..{LONGEST_REQUEST}")
    return in0, in1


def require_plain(content_encoding: str | None) -> None:
    """Lets a Content-Encoding pass that leaves the body as it is.

    Raises:
        MediaTypeError: it is another one, such as gzip.
    """
    if content_encoding and content_encoding.strip().lower() != "identity":
        raise MediaTypeError(f"Content-Encoding {content_encoding} cannot be read: use identity")


@lru_cache(maxsize=64)  # clients send the same few headers
def choose_format(accept: str | None, preferred: Format) -> Format:
    """The format to answer in.

    Args:
        accept: the Accept header, perhaps a list with q values.
        preferred: what to answer where the header leaves the choice open.

    Raises:
        AcceptError: the header rules out both formats.
    """
    if not accept or not accept.strip():
        return preferred
    # Java's own client sends "q=.2", which is not quite HTTP.
    parsed = parse_accept_header(accept.replace("q=.", "q=0."), MIMEAccept)
    # Parameters of an acceptable type (a charset, say) do not make it another type.
    wanted = MIMEAccept([(value.partition(";")[0].strip(), q) for value, q in parsed])
    found = wanted.best_match([preferred, *MEDIA_TYPES])
    if found is None:
        raise AcceptError(f"Accept {accept} cannot be answered: these can: {_READABLE}")
    return MEDIA_TYPES[found]


class Body:
    """A request's body as it arrives, of at most `limit` bytes.

    Args:
        announced: Content-Length, if there is one.
        limit: bytes.

    Raises:
        TooLargeError: a longer one is announced.
    """

    def __init__(self, announced: int | None, limit: int) -> None:
        if announced is not None and announced > limit:
            raise TooLargeError(f"the body has {announced} bytes, but at most {limit} can be taken")
        self._announced, self._limit, self._parts = announced, limit, bytearray()

    @property
    def room(self) -> int:
        """Bytes to read at most: one more than may come, which tells that it does."""
        return self._limit + 1 - len(self._parts)

    def add(self, part: bytes) -> None:
        """Takes the next bytes.

        Raises:
            TooLargeError: the body is longer than `limit`.
        """
        self._parts += part
        if len(self._parts) > self._limit:
            raise TooLargeError(
                f"the body is longer than the {self._limit} bytes that can be taken"
            )

    def whole(self) -> bytes:
        """All of it.

        Raises:
            InputError: the body ended before the announced length.
        """
        if self._announced is not None and len(self._parts) < self._announced:
            got = f"{len(self._parts)} of the {self._announced} announced bytes"
            raise InputError(f"the body ended after {got}")
        return bytes(self._parts)


def read_body(stream: IO[bytes], announced: int | None, limit: int) -> bytes:
    """Reads a `Body`, and not a byte more of a longer one than tells; raises as that does."""
    body = Body(announced, limit)
    while part := stream.read(body.room):
        body.add(part)
    return body.whole()
