"""What SageMaker's runtime service adds to a container's responses, under /endpoints/NAME/.

boto3 chooses its exception by the header `x-amzn-errortype`, whatever the status is, and retries
where the status is 500, 502, 503 or 504. So each response keeps the status of /invocations.
"""

from itertools import count
from uuid import uuid4

import orjson

PREFIX = "/endpoints/"
TARGET_VARIANT = "x-amzn-sagemaker-target-variant"
MODEL_ERROR = "ModelError"
_ERRORS = {404: "ValidationError", 405: "ValidationError", 503: "ServiceUnavailable"}
_ID, _NUMBERS = str(uuid4())[:-12], count(1)


def create_request_id() -> str:
    """Returns a new UUID; those of one process differ in their last part."""
    return f"{_ID}{next(_NUMBERS):012x}"


def make_success_headers(target_variant: str | None) -> dict[str, str]:
    """Headers of a successful response: `InvokedProductionVariant` and `RequestId` of boto3.

    Args:
        target_variant: the request's header of that name.
    """
    return {
        "x-amzn-invoked-production-variant": target_variant or "AllTraffic",
        "x-amzn-requestid": create_request_id(),
    }


def make_error_headers(status: int) -> dict[str, str]:
    """Headers of an error: `ModelError` where the container found it.

    `ServiceUnavailable` where it was busy, `ValidationError` where the path or method is wrong.
    """
    error = _ERRORS.get(status, MODEL_ERROR)
    return {"x-amzn-errortype": error, "x-amzn-requestid": create_request_id()}


def model_error_body(status: int, body: bytes) -> bytes:
    """Adds to the JSON body of an error what boto3 shows of a `ModelError`."""
    error = orjson.loads(body)
    added = {
        "OriginalStatusCode": status,
        "OriginalMessage": error["message"],
        "LogStreamArn": "",  # there is no log stream
    }
    return orjson.dumps(error | added)
