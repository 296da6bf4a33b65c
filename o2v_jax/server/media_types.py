"""Content-Type, Content-Encoding and Accept headers.

Sources: the Amazon SageMaker developer guide ("Use Your Own Inference Code with Hosting Services")
and the Object2Vec documentation for `infer_max_seqlens`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qs

from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header, parse_options_header

from o2v_jax.constants import LONGEST_REQUEST
from o2v_jax.data import Format
from o2v_jax.errors import InputError
from o2v_jax.server.errors import AcceptError, MediaTypeError

MEDIA_TYPES: Mapping[str, Format] = {
    "application/json": Format.JSON,
    "application/jsonlines": Format.JSON_LINES,
    "application/x-jsonlines": Format.JSON_LINES,
}
_READABLE = " or ".join(Format)
_PARAMETER = re.compile(r";\s*(infer\w*)\s*=?\s*([^;]*)", re.IGNORECASE)
_LENGTHS = re.compile(r"(\"?)\s*([0-9]{1,6})\s*,\s*([0-9]{1,6})\s*\1")


@dataclass(frozen=True)
class ContentType:
    """A Content-Type header, read.

    Attributes:
        format: the body's format; None where there is no header: then the body decides.
        max_seq_lens: `infer_max_seqlens`, tokens of in0 and in1; None: the model's own.
    """

    format: Format | None = None
    max_seq_lens: tuple[int, int] | None = None


@lru_cache(maxsize=64)  # clients send the same few headers
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
    return ContentType(known, _read_max_seq_lens(header))


def _read_max_seq_lens(header: str) -> tuple[int, int] | None:
    # The documented value has a bare comma, which is not an HTTP token: header parsers cut it off.
    found = _PARAMETER.findall(header)
    if not found:
        return None
    (name, value), *more = found
    lengths = _LENGTHS.fullmatch(value.strip())
    if name.lower() != "infer_max_seqlens" or more or not lengths:
        raise InputError(f"{name}={value} was sent, but the form is infer_max_seqlens=64,64")
    in0, in1 = int(lengths[2]), int(lengths[3])
    if not 1 <= min(in0, in1) <= max(in0, in1) <= LONGEST_REQUEST:
        raise InputError(f"infer_max_seqlens={value} is outside 1..{LONGEST_REQUEST}")
    return in0, in1


def require_identity(content_encoding: str | None) -> None:
    """Accepts a Content-Encoding that leaves the body as it is, or none.

    Raises:
        MediaTypeError: it is another one, such as gzip.
    """
    if content_encoding and content_encoding.strip().lower() != "identity":
        raise MediaTypeError(f"Content-Encoding {content_encoding} cannot be read: use identity")


_LABELS = {"true": True, "false": False}


@lru_cache(maxsize=64)
def wants_labels(accept: str | None, query: str) -> bool:
    """Whether class names are asked for: by `?labels=true`, or `Accept: ...; labels=true`.

    Raises:
        InputError: labels is neither true nor false.
    """
    values = parse_qs(query, keep_blank_values=True).get("labels", [])
    for media_range in (accept or "").split(","):
        _, parameters = parse_options_header(media_range)
        values += [parameters["labels"]] if "labels" in parameters else []
    for value in values:
        if value not in _LABELS:
            raise InputError(f"labels={value} must be true or false")
    return any(_LABELS[value] for value in values)


@lru_cache(maxsize=64)  # clients send the same few headers
def choose_format(accept: str | None, preferred: Format) -> Format:
    """Chooses the format of a response.

    Args:
        accept: the Accept header, perhaps a list with q values.
        preferred: the format where the header leaves the choice open.

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
        raise AcceptError(f"Accept {accept} cannot be answered: use {_READABLE}")
    return MEDIA_TYPES[found]
