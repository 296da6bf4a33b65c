"""The whole network in plain NumPy, float64, one sequence at a time and without any padding.

Written from the Object2Vec documentation and what its logs print, for one object at a time: there
is no batch, so nothing is ever filled up. Parameters are nested dicts under the library's names.
"""

import numpy as np


def encode(encoder, table, weights, ids):
    """The encoding `[enc_dim]` of one list of ids, which may be empty."""
    networks = {"hcnn": hcnn, "bilstm": bilstm, "pooled_embedding": pooled}
    ids = np.trim_zeros(np.asarray(ids, np.int64), "b")
    if not ids.any():
        return np.zeros(encoder.enc_dim)
    return networks[encoder.network](encoder, np.asarray(table, np.float64), weights, ids)


def pooled(encoder, table, weights, ids):
    return table[ids[ids != 0]].mean(axis=0)


def hcnn(encoder, table, weights, ids):
    real, pools = ids != 0, []
    x = np.where(real[:, None], table[ids], 0.0)
    for k in range(encoder.layers):
        layer = weights[f"layer_{k}"]
        x = convolution(x, layer["weight"], layer["bias"])
        x[~real] = 0.0
        pools.append(x[real].max(axis=0))
    return np.concatenate(pools)


def convolution(x, weight, bias):
    """Same-length convolution and ReLU: an even width looks one step further ahead than back."""
    length, width = len(x), len(weight)
    out = np.empty((length, len(bias)))
    for t in range(length):
        out[t] = bias
        for tap in range(width):
            at = t + tap - (width - 1) // 2
            if 0 <= at < length:
                out[t] += np.asarray(x[at], np.float64) @ weight[tap]
    return np.maximum(out, 0.0)


def bilstm(encoder, table, weights, ids):
    x = table[ids[ids != 0]]
    for k in range(encoder.layers):
        ahead = lstm(x, weights[f"forward_{k}"])
        back = lstm(x[::-1], weights[f"backward_{k}"])[::-1]
        x = np.concatenate([ahead, back], axis=1)
    return x.max(axis=0)


def lstm(x, weights):
    """Hidden states `[length, units]`, first step first; gates are input, forget, cell, output."""
    h = c = np.zeros(len(weights["weight_hidden"]))
    states = []
    for vector in np.asarray(x, np.float64):
        gates = vector @ weights["weight_input"] + h @ weights["weight_hidden"] + weights["bias"]
        i, f, g, o = gates.reshape(4, -1)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        states.append(h)
    return np.stack(states)


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def compare(names, a, b):
    """What the MLP reads of two encodings, in the order of `names`."""
    ways = {"hadamard": [a * b], "concat": [a, b], "abs_diff": [np.abs(a - b)]}
    return np.concatenate([part for name in names for part in ways[name]])


def mlp(x, weights, layers, activation):
    for k in range(layers):
        x = fully_connected(x, weights[f"fc_{k}"])
        x = {"tanh": np.tanh, "relu": lambda v: np.maximum(v, 0.0), "linear": np.array}[activation](
            x
        )
    return x


def fully_connected(x, weights):
    return np.asarray(x, np.float64) @ weights["weight"] + weights["bias"]


def softmax(x):
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def head(config, weights, enc0, enc1):
    """Class probabilities, or the one value of a regression, of two encodings."""
    x = compare(config.comparator_list, enc0, enc1)
    x = mlp(x, weights.get("mlp"), config.mlp_layers, config.mlp_activation)
    x = fully_connected(x, weights["output_layer"])
    return softmax(x) if config.output_layer == "softmax" else x


def encode_side(config, params, side, ids):
    """The encoding of an in0 (`side` 0) or an in1 (`side` 1)."""
    table = "embed_shared" if config.tied_token_embedding_weight else f"embed_{side}"
    weights = params.get(("source", "target")[side])
    return encode(config.encoder(side), params[table]["weight"], weights, ids)


def score(config, params, in0, in1):
    """The scores of one pair of lists of ids."""
    encodings = (encode_side(config, params, side, ids) for side, ids in enumerate((in0, in1)))
    return head(config, params["head"], *encodings)


def scores(config, params, in0, in1):
    """The scores of many pairs, `[records, outputs]`."""
    return np.array([score(config, params, *pair) for pair in zip(in0, in1, strict=True)])


def encodings(config, params, side, rows):
    """The encodings of many objects of one side, `[records, enc_dim]`."""
    return np.array([encode_side(config, params, side, ids) for ids in rows])
