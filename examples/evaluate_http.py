"""The metric of a served model, over HTTP: the same as `o2v evaluate` prints.

python examples/evaluate_http.py TEST.jsonl [http://127.0.0.1:8080]
"""

import json
import sys
import urllib.request
from collections.abc import Iterator
from itertools import islice
from math import log
from pathlib import Path

RECORDS = 1000  # a request


def scores(url: str, records: list[dict[str, object]]) -> Iterator[list[float]]:
    """The server's answer for each record."""
    body = json.dumps({"instances": records}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/invocations", body, headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        yield from (row["scores"] for row in json.load(answer)["predictions"])


def evaluate(file: Path, url: str) -> dict[str, float]:
    """Accuracy and cross_entropy, or mean_squared_error of a model that gives one value."""
    labels: list[float] = []
    answers: list[list[float]] = []
    with file.open() as lines:
        while chunk := [json.loads(line) for line in islice(lines, RECORDS)]:
            labels += (record["label"] for record in chunk)
            answers += scores(url, chunk)
    pairs = list(zip(answers, labels, strict=True))
    if len(answers[0]) == 1:
        return {"mean_squared_error": sum((a[0] - y) ** 2 for a, y in pairs) / len(pairs)}
    return {
        "cross_entropy": -sum(log(a[int(y)]) for a, y in pairs) / len(pairs),
        "accuracy": sum(max(a) == a[int(y)] for a, y in pairs) / len(pairs),
    }


if __name__ == "__main__":
    server = sys.argv[2] if len(sys.argv) > 2 else "http://127.0.0.1:8080"  # noqa: PLR2004
    for metric, value in evaluate(Path(sys.argv[1]), server).items():
        print(metric, f"{value:g}")
