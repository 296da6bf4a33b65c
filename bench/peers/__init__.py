"""What others would score the same network with, each with the same weights.

A peer that cannot run here is named in the results with the reason; nothing else changes.
"""

from collections.abc import Callable, Iterable
from importlib import import_module

from bench.peers.base import BATCHES, NotAvailableError, Peer
from o2v_jax import Model

EXTRA = "pip install -e '.[bench]'"
HOMES = {
    "torch_eager": ("bench.peers.torch_eager", "TorchEager"),
    "torch_compiled": ("bench.peers.torch_compiled", "TorchCompiled"),
    "onnxruntime": ("bench.peers.onnx_runtime", "OnnxRuntime"),
}
PACKAGES = ("torch", "onnx", "onnxruntime", "litserve")

__all__ = ["EXTRA", "HOMES", "PACKAGES", "NotAvailableError", "Peer", "start"]


def start(
    model: Model, device: str, names: Iterable[str] = tuple(HOMES), *, tf32: bool = False
) -> tuple[list[Peer], dict[str, str]]:
    """The peers that can run here, and why the others cannot.

    Args:
        model: what they score with.
        device: cpu or gpu.
        names: of `HOMES`.
        tf32: whether they may multiply in TF32, on a GPU that can.
    """
    peers, missing = [], {}
    for name in names:
        try:
            peer = _find_maker(name)(model, device, tf32)
            peer.batches = BATCHES[device]
            peers.append(peer)
        except NotAvailableError as reason:
            missing[name] = str(reason)
    return peers, missing


def _find_maker(name: str) -> Callable[[Model, str, bool], Peer]:
    module, kind = HOMES[name]
    try:
        maker: Callable[[Model, str, bool], Peer] = getattr(import_module(module), kind)
    except ImportError as error:
        raise NotAvailableError(f"{error}: {EXTRA} brings it") from None
    return maker
