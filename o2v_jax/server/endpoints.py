"""What SageMaker's runtime service adds to a container's answer, under /endpoints/NAME/. Pure.

boto3 finds its exceptions by the header `x-amzn-errortype`, whatever the status is, and tries again
where that is 500, 502, 503 or 504. So every answer keeps the status that /invocations gives it.
"""

from collections.abc import Mapping
from itertools import count
from uuid import uuid4

import orjson

from o2v_jax.server.service import ErrorAnswer

PREFIX = "/endpoints/"
TARGET_VARIANT = "X-Amzn-SageMaker-Target-Variant"
_ERRORS = {404: "ValidationError", 405: "ValidationError", 503: "ServiceUnavailable"}
_ID, _NUMBERS = str(uuid4())[:-12], count(1)


def request_id() -> str:
    """A new UUID; those of one process differ in their last part."""
    return f"{_ID}{next(_NUMBERS):012x}"


def success_headers(target_variant: str | None) -> Mapping[str, str]:
    """Headers of an answer without an error: `InvokedProductionVariant` and `RequestId` of boto3.

    Args:
        target_variant: what the request's header of that name holds.
    """
    return {
        "x-Amzn-Invoked-Production-Variant": target_variant or "AllTraffic",
        "x-amzn-RequestId": request_id(),
    }


def modelled(answer: ErrorAnswer) -> ErrorAnswer:
    """An error as the service's model has it: `ModelError` where the container found it.

    `ServiceUnavailable` where it was busy, `ValidationError` where the path or method is wrong.
    """
    status, body, headers = answer
    error = _ERRORS.get(status, "ModelError")
    if error == "ModelError":
        told = orjson.loads(body)
        more = {
            "OriginalStatusCode": status,
            "OriginalMessage": told["message"],
            "LogStreamArn": "",  # there is no log stream
        }
        body = orjson.dumps(told | more)
    added = {"x-amzn-errortype": error, "x-amzn-RequestId": request_id()}
    return ErrorAnswer(status, body, headers | added)
