"""Computes with a tiny model what tests compare between settings of JAX; prints one JSON object."""

import json
import sys
from pathlib import Path

import jax
import numpy as np

import o2v_jax
from o2v_jax.checkpoint import flatten, nest
from o2v_jax.data.ragged import Ragged
from o2v_jax.model import parameter_shapes
from o2v_jax.training.data.dataset import Dataset
from o2v_jax.training.loop.evaluation import measure_model
from o2v_jax.training.loop.run import Run
from o2v_jax.training.report.metric_lines import make_silent_reporter

IN0, IN1 = [[3, 1, 2], [4], [], [11, 3]] * 5, [[7, 8], [6, 6, 6], [1], [5, 2]] * 5
IDS = np.int32([[3, 1], [4, 0]])


def parameters(config):
    rng = np.random.default_rng(0)
    shapes = parameter_shapes(config).items()
    return nest({name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in shapes})


def results(network):
    """Scores, encodings, a ranking, a gradient and a trained parameter of one network."""
    small = {"enc0_max_seq_len": 4, "enc0_vocab_size": 20, "enc0_token_embedding_dim": 8}
    config = o2v_jax.Hyperparameters(
        **small,
        enc_dim=8,
        mlp_layers=1,
        mlp_dim=4,
        enc0_layers=1,
        dropout=0.5,
        epochs=1,
        enc0_network=network,
    )
    params = parameters(config)
    scorer = o2v_jax.Scorer(o2v_jax.Model(config, params), max_programs=24)
    score = o2v_jax.score_fn(config)
    yield "fused", scorer.score(IN0[:2], IN1[:2])
    yield "many", scorer.score(IN0, IN1)
    yield "rank", scorer.rank([3, 1], IN1[:4], 2).scores
    yield "ranked encodings", scorer.rank([3, 1], scorer.embed(in1=IN1[:4]), 2).scores
    yield "pure", jax.jit(score)(params, IDS, IDS)
    yield "gradient", jax.jit(jax.grad(lambda p: score(p, IDS, IDS)[0, 0]))(params)
    data = Dataset(Ragged.of(IN0), Ragged.of(IN1), np.float32([0, 1] * 10), (4, 4))
    params = Run(config, data, reporter=make_silent_reporter(), seed=1).fit()
    yield "trained", params
    yield "loss", np.float32(measure_model(o2v_jax.Model(config, params), data)["cross_entropy"])


def as_json(value):
    leaves = flatten(jax.device_get(value)) if isinstance(value, dict) else {"": value}
    kinds = sorted({str(np.asarray(leaf).dtype) for leaf in leaves.values()})
    return kinds, np.concatenate([np.ravel(leaf) for leaf in leaves.values()]).tolist()


def find_results(networks):
    """Of every network and what it computes: the dtypes and the numbers."""
    return {
        f"{network} {name}": as_json(value)
        for network in networks.split(",")
        for name, value in results(network)
    }


if __name__ == "__main__":
    o2v_jax.use_compilation_cache(Path(sys.argv[1]))
    jax.config.update("jax_num_cpu_devices", 2)
    if "default_device" in sys.argv:
        jax.config.update("jax_default_device", jax.devices()[1])
    sys.stdout.write(json.dumps(find_results(sys.argv[2])))
