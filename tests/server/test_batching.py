"""A real server under many connections: the same scores, no compilation, metrics that add up."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from o2v_jax.server.limits import REQUESTS

CONNECTIONS = 32
PINGS = """
import http.client, select, sys, time
while not select.select([sys.stdin], [], [], 0.02)[0]:  # until that is closed
    begun = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=5)
    connection.request("GET", "/ping")
    assert connection.getresponse().status == 200
    print(time.monotonic() - begun)
"""


def random_pairs(seed, count):
    rng = np.random.default_rng(seed)
    rows = [rng.integers(1, 40, n).tolist() for n in rng.integers(0, 12, 2 * count)]
    return [{"in0": a, "in1": b} for a, b in zip(rows[:count], rows[count:], strict=True)]


def scores(reply):
    assert reply.status == 200, reply.body
    return np.float32([answer["scores"] for answer in reply.json["predictions"]])


def metrics(server):
    """Every sample of /metrics, by its name and labels."""
    reply = server.request("GET", "/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(reply.body.decode()))
    assert all(family.name.startswith("o2v_") and family.documentation for family in families)
    samples = [sample for family in families for sample in family.samples]
    return {(s.name, *s.labels.values()): s.value for s in samples}


def wait_until_warm(server):
    end = time.monotonic() + 60
    while "every program is compiled" not in server.log.read_text():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_many_connections_get_the_scores_of_one_request(server):
    records = random_pairs(0, 300)
    together = scores(server.invoke(json.dumps({"instances": records})))
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        alone = pool.map(lambda r: scores(server.invoke(json.dumps({"instances": [r]}))), records)
        np.testing.assert_allclose(np.concatenate(list(alone)), together, rtol=1e-5)


def test_requests_with_different_lengths_to_cut_at_share_batches(server):
    records = random_pairs(1, 40)

    def ask(cut):
        body = "\n".join(map(json.dumps, records))
        reply = server.invoke(body, f"application/jsonlines; infer_max_seqlens={cut},{cut}")
        return reply.status, reply.body

    alone = {cut: ask(cut) for cut in range(1, 9)}
    assert len({body for _, body in alone.values()}) == 8
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for cut, (status, body) in zip(list(alone) * 10, pool.map(ask, list(alone) * 10)):  # noqa: B905
            assert status == 200
            found, expected = (
                [json.loads(line)["scores"] for line in text.split(b"\n")]
                for text in (body, alone[cut][1])
            )
            np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_mixed_traffic_compiles_nothing_and_is_counted(server):
    wait_until_warm(server)
    before = metrics(server)
    rng = np.random.default_rng(2)
    sizes = rng.choice([1, 1, 1, 2, 5, 30, 300], 400)

    def ask(seed, size):
        records = random_pairs(seed, int(size))
        if seed % 3:
            return server.invoke(json.dumps({"instances": records})).status
        singles = [
            {side: row for side, row in r.items() if side == f"in{seed % 2}"} for r in records
        ]
        return server.invoke("\n".join(map(json.dumps, singles)), "application/jsonlines").status

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        assert set(pool.map(ask, range(len(sizes)), sizes)) == {200}
    assert server.invoke("{").status == 400
    rise = {key: value - before.get(key, 0) for key, value in metrics(server).items()}
    assert rise["o2v_compilations_total",] == 0
    assert rise["o2v_compilations_waited_for_total",] == 0
    assert rise["o2v_requests_total", "200"] == len(sizes)
    assert rise["o2v_requests_total", "400"] == 1
    for stage in ("parse", "queue", "infer", "encode"):
        assert rise["o2v_stage_seconds_count", stage] == len(sizes)
    assert rise["o2v_batch_records_sum",] == sizes.sum()
    assert 0 < rise["o2v_batch_records_count",] < len(sizes)  # so that requests were put together
    assert 0 < rise["o2v_tokens_useful_total",] <= rise["o2v_tokens_computed_total",]
    assert metrics(server)["o2v_device_bytes",] > 5_000


def test_what_is_at_the_moment(server):
    now = metrics(server)
    assert now["o2v_ready",] == 1
    assert (now["o2v_queue_requests",], now["o2v_queue_records",]) == (0, 0)


def test_overload_is_refused_at_once_while_ping_answers(server):
    body = json.dumps({"instances": random_pairs(3, 1000)})

    def ask(_):
        begun = time.monotonic()
        reply = server.invoke(body)
        return reply.status, time.monotonic() - begun, reply.headers["Retry-After"]

    # in a process of its own: here it would wait for hundreds of threads to take their turns
    command = [sys.executable, "-c", PINGS, str(server.port)]
    pinging = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with ThreadPoolExecutor(3 * REQUESTS) as pool:
        replies = list(pool.map(ask, range(3 * REQUESTS)))
    pings = [float(line) for line in pinging.communicate("", timeout=10)[0].split()]
    assert pinging.returncode == 0
    assert {status for status, *_ in replies} == {200, 503}
    refused = [(seconds, retry) for status, seconds, retry in replies if status == 503]
    taken = [seconds for status, seconds, _ in replies if status == 200]
    assert len(taken) >= REQUESTS
    assert {retry for _, retry in refused} == {"1"}
    assert np.median([seconds for seconds, _ in refused]) < np.median(taken)
    assert len(pings) > 1
    assert max(pings) < 2


@pytest.mark.parametrize("media_type", ["application/json", "application/jsonlines"])
def test_long_answers_come_in_pieces_and_short_ones_whole(server, media_type):
    long = "\n".join(f'{{"in0": [{i % 39}, {i // 39}]}}' for i in range(1500)) + "\n"
    long *= 3
    reply = server.invoke(long, "application/jsonlines", Accept=media_type)
    assert reply.status == 200
    assert reply.headers["Transfer-Encoding"] == "chunked"
    assert reply.headers["Content-Length"] is None
    text = reply.body.decode()
    if media_type == "application/json":
        rows = json.loads(text)["predictions"]
    else:
        rows = [json.loads(line) for line in text.split("\n")]
    assert [list(row) for row in rows] == [["embeddings"]] * 4500
    short = server.invoke('{"in0": [5, 7]}', "application/jsonlines", Accept=media_type)
    assert int(short.headers["Content-Length"]) == len(short.body)
    few = json.loads(short.body)
    row = few["predictions"][0] if media_type == "application/json" else few
    at = 7 * 39 + 5
    for place in (at, at + 1500, at + 3000):
        np.testing.assert_allclose(rows[place]["embeddings"], row["embeddings"], rtol=1e-5)
