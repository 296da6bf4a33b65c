"""Unmodified clients: boto3's runtime client and the SageMaker Python SDK's Predictor.

Their only change is the URL. They get dummy credentials, and a guard that fails the test if
anything but this machine is looked up or connected to.
"""

import json
import sys
import threading
import time
from contextlib import contextmanager
from uuid import UUID

import boto3
import numpy as np
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from length_scorer import LengthScorer
from werkzeug.serving import WSGIRequestHandler, make_server

from o2v_jax.server.settings import ServerSettings
from serving.app import create_app

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


@contextmanager
def client_of(session, url, **retries):
    config = Config(retries={"total_max_attempts": 1} | retries, proxies={})
    client = session.client("sagemaker-runtime", endpoint_url=url, config=config)
    yield client
    client.close()


@contextmanager
def in_threads(app):
    """The URL of a WSGI app that is served."""
    served = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    thread.join()
    served.server_close()


class Quiet(WSGIRequestHandler):
    def log_request(self, *_):
        """Nobody reads it."""


@pytest.fixture(scope="module", params=["granian", "flask"])
def runtime(request, server, tiny_model, cache, session):
    if request.param == "granian":
        with client_of(session, server.url) as client:
            yield client
        return
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("O2V_CACHE_DIR", cache)
        app = create_app(tiny_model, settings=ServerSettings(devices=1))
    with in_threads(app) as url, client_of(session, url) as client:
        yield client
    app.extensions["o2v_jax"].close()


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


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ({"Body": b'{"instances": [{"in0": [-1]}]}'}, 400, "$.instances[0].in0[0]: -1 is outside"),
        ({"Body": b'{"instances": []}', "ContentType": "text/csv"}, 415, "Content-Type text/csv"),
        ({"Body": b'{"instances": []}', "Accept": "text/csv"}, 406, "Accept text/csv"),
        ({"Body": b" " * 6_291_457}, 413, "the body has 6291457 bytes"),
    ],
)
def test_boto3_raises_the_error_of_a_container(runtime, arguments, status, message):
    with pytest.raises(runtime.exceptions.ModelError) as e:
        runtime.invoke_endpoint(EndpointName="snli", **arguments)
    response = e.value.response
    assert response["Error"]["Code"] == "ModelError"
    assert response["Error"]["Message"] == response["OriginalMessage"]
    assert response["OriginalMessage"].startswith(message)
    assert (response["OriginalStatusCode"], response["LogStreamArn"]) == (status, "")
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert UUID(response["ResponseMetadata"]["RequestId"])


@pytest.mark.parametrize("variant", [{}, {"TargetVariant": "blue"}])
def test_boto3_gets_what_the_service_adds(runtime, pairs, variant):
    reply = runtime.invoke_endpoint(
        EndpointName="snli",
        Body=json.dumps({"instances": pairs}),
        InferenceId="7",
        TargetModel="a.tar.gz",
        SessionId="NEW_SESSION",
        **variant,
    )
    assert reply["InvokedProductionVariant"] == variant.get("TargetVariant", "AllTraffic")
    assert UUID(reply["ResponseMetadata"]["RequestId"])


def test_boto3_is_told_what_is_not_there(runtime):
    with pytest.raises(
        ClientError, match="the paths are POST /invocations, POST /endpoints/NAME"
    ) as e:
        runtime.invoke_endpoint_with_response_stream(EndpointName="snli", Body=b"{}")
    assert e.value.response["Error"]["Code"] == "ValidationError"
    with pytest.raises(ClientError, match="async-invocations: no such path; the paths are") as e:
        runtime.invoke_endpoint_async(EndpointName="snli", InputLocation="s3://a/b")
    assert e.value.response["ResponseMetadata"]["HTTPStatusCode"] == 404


@pytest.mark.parametrize("mode", ["legacy", "standard"])
def test_boto3_tries_again_where_the_server_is_busy_or_failed(session, monkeypatch, mode):
    monkeypatch.setattr(time, "sleep", lambda _: None)
    retries = {"mode": mode, "total_max_attempts": 3}
    scorer = LengthScorer()
    scorer.may_warm.set()
    app = create_app(scorers=[scorer], settings=ServerSettings())
    service = app.extensions["o2v_jax"]
    body = b'{"instances": [{"in0": [1], "in1": [2]}]}'
    with in_threads(app) as url, client_of(session, url, **retries) as client:
        while not service.health.warm_up_ended:
            pass
        scorer.error = KeyError("secret")
        with pytest.raises(client.exceptions.ModelError, match="its log says why") as e:
            client.invoke_endpoint(EndpointName="snli", Body=body)
        assert e.value.response["OriginalStatusCode"] == 500
        scorer.fails_at = {4}  # the next one only
        assert client.invoke_endpoint(EndpointName="snli", Body=body)["Body"].read()
        assert len(scorer.calls) == 5
        service.close()
        with pytest.raises(client.exceptions.ServiceUnavailable, match="is stopping") as e:
            client.invoke_endpoint(EndpointName="snli", Body=body)
    assert e.value.response["ResponseMetadata"]["RetryAttempts"] == 2
    assert 'o2v_requests_total{code="503"} 3.0' in service.metrics.render().decode()


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


def test_sdk_raises_the_error_of_a_container(sdk, runtime):
    client = predictor(sdk, "JSONSerializer", "JSONDeserializer")
    with pytest.raises(runtime.exceptions.ModelError, match=r"expected \{\"instances\""):
        client.predict([1])


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
