"""What TorchServe calls: the same network in PyTorch, with the same JSON as ours."""

import os
from collections.abc import Sequence
from itertools import accumulate, chain, pairwise
from pathlib import Path
from typing import Any

import torch

from bench.cores import count_cores
from bench.peers.torch_network import TorchNetwork
from bench.peers.weights import read
from o2v_jax.data.ragged import Ragged

MODEL = "O2V_MODEL"  # environment variable that names the directory

_networks: list[TorchNetwork] = []


@torch.inference_mode()
def handle(data: Sequence[dict[str, Any]] | None, context: Any) -> list[dict[str, Any]]:
    """Answers a batch of requests that TorchServe formed; without any, loads the network."""
    if not _networks:
        torch.set_num_threads(count_cores())
        device = "cuda" if context.system_properties.get("gpu_id") is not None else "cpu"
        _networks.append(TorchNetwork(*read(Path(os.environ[MODEL])), device))
    requests = [request["body"]["instances"] for request in data or []]
    if not requests:
        return []
    records = list(chain.from_iterable(requests))
    encoded = [_encode(_networks[0], side, records) for side in (0, 1)]
    scores = torch.softmax(_networks[0].head(*encoded), -1).tolist()
    ends = [0, *accumulate(len(request) for request in requests)]
    return [{"predictions": [{"scores": s} for s in scores[a:b]]} for a, b in pairwise(ends)]


def _encode(network: TorchNetwork, side: int, records: list[dict[str, list[int]]]) -> Any:
    rows = Ragged.of([record[("in0", "in1")[side]] for record in records])
    return network.encode(side, rows.cut(network.config.encoder(side).max_seq_len))
