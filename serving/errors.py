"""What is answered where something is wrong. Knows no Flask."""

import logging
from typing import NamedTuple

from o2v_jax.errors import O2VError, RecordError
from o2v_jax.server import http
from o2v_jax.server.batcher import BatchFailedError

log = logging.getLogger(__name__)


class ErrorAnswer(NamedTuple):
    """An answer of `application/json`, with headers of its own."""

    status: int
    body: bytes
    headers: dict[str, str]


def answer_to(error: Exception, request: str) -> ErrorAnswer:
    """What a client is told of an error; one that is the server's own is logged.

    Args:
        error: raised while a request was answered.
        request: its method and path, for the log.
    """
    if isinstance(error, O2VError):
        status = http.status_of(error)
        path = error.where if isinstance(error, RecordError) else None
        retry = {"Retry-After": str(http.RETRY_AFTER_S)} if status == 503 else {}  # noqa: PLR2004
        return ErrorAnswer(status, http.error_body(str(error), path=path), retry)
    told = isinstance(error, BatchFailedError)  # once a batch is enough
    log.error("%s failed", request, exc_info=None if told else error)
    return ErrorAnswer(500, http.error_body("the server failed: its log says why"), {})
