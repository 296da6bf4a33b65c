"""Unmodified clients: boto3's runtime client and the SageMaker Python SDK's Predictor.

Their only change is the URL. They get dummy credentials, and a guard that fails the test if
anything but this machine is looked up or connected to.
"""

import json
import sys

import boto3
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

LOCAL = {"127.0.0.1", "localhost", "::1"}
OPEN_HOSTS = []
NO_TELEMETRY = {"Modules": {"TelemetryOptOut": True}}


def watch_sockets(event, arguments):
    host = None
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    if OPEN_HOSTS and host is not None and host not in OPEN_HOSTS[0]:
        raise PermissionError(f"a test reached for {host}")


sys.addaudithook(watch_sockets)  # stays for good, so that it does nothing without OPEN_HOSTS


@pytest.fixture(autouse=True)
def only_local():
    OPEN_HOSTS.append(LOCAL)
    yield
    OPEN_HOSTS.clear()


@pytest.fixture(scope="module")
def session():
    return boto3.Session("key", "secret", region_name="us-east-1")


@pytest.fixture(scope="module")
def runtime(server, session):
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    client = session.client("sagemaker-runtime", endpoint_url=server.url, config=config)
    yield client
    client.close()


@pytest.fixture(scope="module")
def expected(good_answer):
    return json.loads(good_answer)["predictions"]


def test_boto3_json(runtime, pairs, expected):
    reply = runtime.invoke_endpoint(
        EndpointName="snli",
        Body=json.dumps({"instances": pairs}),
        ContentType="application/json",
        Accept="application/json",
        CustomAttributes="trace=1",
    )
    assert reply["ContentType"] == "application/json"
    assert reply["CustomAttributes"] == "trace=1"
    assert json.load(reply["Body"]) == {"predictions": expected}


def test_boto3_json_lines(runtime, pairs, expected):
    body = "\n".join(map(json.dumps, pairs))
    reply = runtime.invoke_endpoint(
        EndpointName="snli", Body=body, ContentType="application/jsonlines"
    )
    assert list(map(json.loads, reply["Body"].iter_lines())) == expected


def test_boto3_without_a_content_type(runtime, pairs, expected):
    reply = runtime.invoke_endpoint(EndpointName="a-b.c", Body=json.dumps({"instances": pairs}))
    assert json.load(reply["Body"])["predictions"] == expected


def test_boto3_embeddings_with_sequence_lengths(runtime):
    reply = runtime.invoke_endpoint(
        EndpointName="snli",
        Body=b'{"instances": [{"in0": [1, 2, 3]}, {"in0": [1, 2, 9]}]}',
        ContentType="application/json; infer_max_seqlens=2,2",
    )
    first, second = json.load(reply["Body"])["predictions"]
    assert len(first["embeddings"]) == 16
    assert first == second


def test_boto3_shows_the_reason_of_an_error(runtime):
    with pytest.raises(ClientError, match=r"\$\.instances\[0\]\.in0\[1\]: 99999 is outside") as e:
        runtime.invoke_endpoint(
            EndpointName="snli",
            Body=b'{"instances": [{"in0": [1, 99999]}]}',
            ContentType="application/json",
        )
    assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_boto3_with_a_body_over_the_limit(runtime):
    with pytest.raises(ClientError, match="at most 6291456 can be taken") as e:
        runtime.invoke_endpoint(
            EndpointName="snli", Body=b" " * 6_291_457, ContentType="application/json"
        )
    assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] == 413


@pytest.fixture(scope="module")
def sdk(session, runtime):
    """The SDK's `Predictor` bound to the server, as a function of its serialisers."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SAGEMAKER_SUPPRESS_V2_WARNING", "1")
        import sagemaker  # noqa: PLC0415 - takes seconds, and reads the variable

        yield (
            sagemaker,
            sagemaker.Session(
                boto_session=session,
                sagemaker_runtime_client=runtime,
                sagemaker_config={"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": NO_TELEMETRY}},
            ),
        )


def predictor(sdk, serializer, deserializer):
    sagemaker, session = sdk
    return sagemaker.Predictor(
        "snli",
        session,
        serializer=getattr(sagemaker.serializers, serializer)(),
        deserializer=getattr(sagemaker.deserializers, deserializer)(),
    )


def test_sdk_json(sdk, pairs, expected):
    client = predictor(sdk, "JSONSerializer", "JSONDeserializer")
    assert client.predict({"instances": pairs}) == {"predictions": expected}


def test_sdk_json_lines(sdk, pairs, expected):
    client = predictor(sdk, "JSONLinesSerializer", "JSONLinesDeserializer")
    assert client.predict(pairs) == expected


def test_sdk_json_in_and_json_lines_out(sdk, pairs, expected):
    client = predictor(sdk, "JSONSerializer", "JSONLinesDeserializer")
    assert client.predict({"instances": pairs}) == expected


def test_sdk_embeddings_with_sequence_lengths(sdk):
    client = predictor(sdk, "JSONLinesSerializer", "JSONLinesDeserializer")
    arguments = {"ContentType": "application/jsonlines; infer_max_seqlens=1,1"}
    first, second = client.predict([{"in1": [5, 6]}, {"in1": [5]}], initial_args=arguments)
    np.testing.assert_array_equal(first["embeddings"], second["embeddings"])
