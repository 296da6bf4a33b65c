"""The same network in PyTorch behind LitServe, with the same JSON as ours. Imports no JAX.

python -m bench.peers.litserve_app MODEL PORT [--max-batch-size N] [--batch-timeout SECONDS]
"""

import argparse
from collections.abc import Sequence
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any

import litserve
import torch

from bench.cores import count_cores
from bench.peers.torch_network import TorchNetwork
from bench.peers.weights import read
from o2v_jax.data.ragged import Ragged

Records = list[dict[str, list[int]]]


class Object2VecAPI(litserve.LitAPI):
    """Scores the requests that LitServe batches as one batch."""

    def __init__(self, model: Path, **settings: Any) -> None:
        super().__init__(api_path="/invocations", **settings)
        self._model = model

    def setup(self, device: str) -> None:
        """Loads the network."""
        torch.set_num_threads(count_cores())
        self._network = TorchNetwork(*read(self._model), device)

    def decode_request(self, request: dict[str, Records]) -> Records:
        """The records of one request."""
        return request["instances"]

    def batch(self, inputs: Sequence[Records]) -> Sequence[Records]:
        """Requests as they are: `predict` cuts the scores apart again."""
        return inputs

    @torch.inference_mode()
    def predict(self, requests: Sequence[Records]) -> list[list[list[float]]]:
        """Scores of every request."""
        records = list(chain.from_iterable(requests))
        encoded = [self._encode(side, records) for side in (0, 1)]
        scores = torch.softmax(self._network.head(*encoded), -1).tolist()
        ends = [0, *accumulate(len(request) for request in requests)]
        return [scores[a:b] for a, b in pairwise(ends)]

    def _encode(self, side: int, records: Records) -> Any:
        rows = Ragged.of([record[("in0", "in1")[side]] for record in records])
        longest = self._network.config.encoder(side).max_seq_len
        return self._network.encode(side, rows.cut(longest))

    def unbatch(self, output: list[list[list[float]]]) -> list[list[list[float]]]:
        """The scores, a list for each request."""
        return output

    def encode_response(self, output: list[list[float]]) -> dict[str, Any]:
        """The answer to one request."""
        return {"predictions": [{"scores": scores} for scores in output]}


def main() -> None:
    """Serves until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--max-batch-size", type=int, default=32)
    parser.add_argument("--batch-timeout", type=float, default=0.005)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--fast-queue", action="store_true")
    chosen = parser.parse_args()
    api = Object2VecAPI(
        chosen.model, max_batch_size=chosen.max_batch_size, batch_timeout=chosen.batch_timeout
    )
    server = litserve.LitServer(
        api, accelerator=chosen.device, fast_queue=chosen.fast_queue, timeout=60
    )
    server.run(host="127.0.0.1", port=chosen.port, generate_client_file=False, log_level="warning")


if __name__ == "__main__":
    main()
