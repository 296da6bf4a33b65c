"""The metrics of GET /metrics, in the Prometheus text format.

Since the start of the process:

- `o2v_requests_total{code}`: requests to /invocations, by the status of the response; 499 where the
  client left before it.
- `o2v_search_requests_total{code}`, `o2v_rerank_requests_total{code}`: likewise those to /search
  and to /rerank.
- `o2v_stage_seconds{stage}`: histograms over answered requests. Stages: `parse`; `queue`, until the
  device takes the first records; `infer`, from there to the last result; of requests to /search
  `search`, from there until the index has been searched; `encode`.
- `o2v_batch_records`, `o2v_batch_tokens`: histograms over batches.
- `o2v_search_queries`: a histogram over searches of the index, which share the queries of requests.
- `o2v_tokens_useful_total`, `o2v_tokens_computed_total`: tokens of encoded objects without and with
  padding; one minus their ratio is the share of padding.
- `o2v_unknown_tokens_total{side}`: tokens of texts that the vocabulary of a side lacks.
- `o2v_compilations_total`: programs compiled, or taken from the persistent cache.
- `o2v_compilations_waited_for_total`: how often the device waited for one to answer requests.

At the moment:

- `o2v_queue_requests`, `o2v_queue_records`: what waits for the device.
- `o2v_search_waiting`: requests whose queries are encoded and wait for a search.
- `o2v_ready`: 1 while /ping answers 200, else 0.
- `o2v_warm`: 1 once every program is compiled: answers are slower before.
- `o2v_device_bytes`: memory in use on the devices, where JAX knows; else that of all live arrays.
"""

from collections.abc import Callable, Iterator
from time import perf_counter
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from o2v_jax.data.tokenizers import SIDES

SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
SIZES = tuple(4.0**power for power in range(10))
_REQUESTS = {
    "/invocations": "o2v_requests",
    "/search": "o2v_search_requests",
    "/rerank": "o2v_rerank_requests",
}
COUNTED = frozenset(_REQUESTS)


class Live(NamedTuple):
    """Values that are read when the metrics are rendered."""

    queue_requests: int
    queue_records: int
    search_waiting: int
    ready: bool
    warm: bool
    device_bytes: int
    tokens_useful: int
    tokens_computed: int
    compilations: int
    compilations_waited_for: int


class Metrics:
    """The metrics of one app, in a registry of their own.

    Args:
        live: reads what needs no counting.
    """

    def __init__(self, live: Callable[[], Live]) -> None:
        self._registry = CollectorRegistry()
        self._requests = {
            route: Counter(name, "Requests by status", ["code"], registry=self._registry)
            for route, name in _REQUESTS.items()
        }
        self._unknown = Counter(
            "o2v_unknown_tokens",
            "Tokens of texts that the vocabulary lacks",
            ["side"],
            registry=self._registry,
        )
        for side in SIDES:
            self._unknown.labels(side)  # so that 0 is shown
        stages = Histogram(
            "o2v_stage_seconds",
            "Seconds by stage",
            ["stage"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self.parse, self.queue, self.infer, self.search, self.encode = (
            stages.labels(stage) for stage in ("parse", "queue", "infer", "search", "encode")
        )
        self._records = self._make_size_histogram("o2v_batch_records", "Records of a batch")
        self._tokens = self._make_size_histogram("o2v_batch_tokens", "Tokens of a batch")
        self._queries = self._make_size_histogram("o2v_search_queries", "Queries of a search")
        self._registry.register(_Live(live))

    def count_response(self, code: int, route: str = "/invocations") -> None:
        """Counts a request to one of `COUNTED` by the status of its response."""
        self._requests[route].labels(code).inc()

    def count_unknown(self, counts: tuple[int, int]) -> None:
        """Counts tokens that the vocabularies of in0 and in1 lack."""
        for side, count in zip(SIDES, counts, strict=True):
            self._unknown.labels(side).inc(count)

    def observe_batch(self, records: int, tokens: int) -> None:
        """Counts a batch."""
        self._records.observe(records)
        self._tokens.observe(tokens)

    def observe_search(self, queries: int) -> None:
        """Counts a search of the index."""
        self._queries.observe(queries)

    def render(self) -> bytes:
        """Returns the metrics in the Prometheus text format."""
        return generate_latest(self._registry)

    def _make_size_histogram(self, name: str, about: str) -> Histogram:
        return Histogram(name, about, buckets=SIZES, registry=self._registry)


class _Live(Collector):
    def __init__(self, live: Callable[[], Live]) -> None:
        self._live = live

    def describe(self) -> list[Metric]:
        return []  # so that registering reads nothing

    def collect(self) -> Iterator[Metric]:
        for name, value in self._live()._asdict().items():
            counted = name.startswith(("tokens", "compilations"))
            family = CounterMetricFamily if counted else GaugeMetricFamily
            yield family(f"o2v_{name}", name.replace("_", " ").capitalize(), value=value)


class Timing:
    """A context that observes the seconds its block takes, unless the block raises."""

    __slots__ = ("_observe", "_started")

    def __init__(self, observe: Callable[[float], None]) -> None:
        self._observe = observe
        self._started = 0.0

    def __enter__(self) -> None:
        self._started = perf_counter()

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._observe(perf_counter() - self._started)
