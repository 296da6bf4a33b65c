"""The whole network: token tables, two encoders, a head."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, Integer

from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import EncoderConfig, Hyperparameters
from o2v_jax.model.bilstm import BiLSTM
from o2v_jax.model.hcnn import HierarchicalCNN
from o2v_jax.model.head import make_head
from o2v_jax.model.layers import TokenEmbedding
from o2v_jax.model.pooled import PooledEmbedding, sum_vectors

NETWORKS: dict[str, type[HierarchicalCNN | BiLSTM | PooledEmbedding]] = {
    "hcnn": HierarchicalCNN,
    "bilstm": BiLSTM,
    "pooled_embedding": PooledEmbedding,
}
NETWORK_NAMES = ("source", "target")


def make_encoder(
    config: EncoderConfig, *, rngs: nnx.Rngs, winograd_min_fan: int | None = None
) -> HierarchicalCNN | BiLSTM | PooledEmbedding:
    """The encoder that `config` describes, without its token table."""
    if config.network == "hcnn":
        return HierarchicalCNN(config, rngs=rngs, winograd_min_fan=winograd_min_fan)
    return NETWORKS[config.network](config, rngs=rngs)


def table_name(config: Hyperparameters, side: int) -> str:
    """Name of the token table that an encoder reads: one for both sides if they are tied."""
    return "embed_shared" if config.tied_token_embedding_weight else f"embed_{side}"


def _require_int32(ids: Integer[Array, "batch length"]) -> Int[Array, "batch length"]:
    """Ids as int32: gradients count with them, and a smaller type may not hold a table's rows."""
    if not jnp.issubdtype(ids.dtype, jnp.integer):
        raise InputError(f"token ids must be integers, but these are {ids.dtype} values")
    return ids.astype(jnp.int32)


class Object2Vec(nnx.Module):
    """Two encoders and a head.

    The names follow the original's parameters: embed_0 and embed_1 (embed_shared if tied), source
    for enc0, target for enc1, and the head's mlp and output_layer. A tied table is held once.

    With an in-batch objective the head is a similarity, which has no parameters.

    Both encoders start from one random key. They share no parameters, but where their shapes agree
    they begin as the same function, so that hadamard and abs_diff compare like with like from the
    first step on. Sentence pairs are learnt much better so (CHANGELOG.md has the figures).

    Its methods read ids of any integer type, as int32, and refuse others. Like any Flax module it
    checks nothing else of what it is given; the functions of `o2v_jax` (`score_fn`, say) do.

    `winograd_min_fan` is as of `HierarchicalCNN`.
    """

    def __init__(
        self, config: Hyperparameters, *, rngs: nnx.Rngs, winograd_min_fan: int | None = None
    ) -> None:
        self.tables = tuple(table_name(config, side) for side in (0, 1))
        key = rngs.params()
        for side, name in enumerate(self.tables):
            encoder, start = config.encoder(side), nnx.Rngs(params=key)
            table = TokenEmbedding(encoder.vocab_size, encoder.token_embedding_dim, rngs=start)
            setattr(self, name, table)  # a tied table the second time too: the same values
            made = make_encoder(encoder, rngs=start, winograd_min_fan=winograd_min_fan)
            setattr(self, NETWORK_NAMES[side], made)
        self.head = make_head(config, rngs=rngs)

    def encode(
        self, side: int, ids: Integer[Array, "batch length"], rngs: nnx.Rngs | None = None
    ) -> Float[Array, "batch enc_dim"]:
        """Encodings of in0 (`side` 0) or in1 (`side` 1)."""
        ids = _require_int32(ids)
        table = getattr(self, self.tables[side]).weight[...]
        encodings: Float[Array, "batch enc_dim"]
        encodings = getattr(self, NETWORK_NAMES[side])(table, ids, rngs)
        return encodings

    def logits(
        self,
        in0: Integer[Array, "batch length0"],
        in1: Integer[Array, "batch length1"],
        rngs: nnx.Rngs | None = None,
    ) -> Float[Array, "batch outputs"]:
        """Outputs before any softmax, for training; `rngs` draws the dropout."""
        return self.head.logits(*self.encode_pairs(in0, in1, rngs), rngs)

    def encode_pairs(
        self,
        in0: Integer[Array, "batch0 length0"],
        in1: Integer[Array, "batch1 length1"],
        rngs: nnx.Rngs | None = None,
    ) -> tuple[Float[Array, "batch0 enc_dim"], Float[Array, "batch1 enc_dim"]]:
        """Encodings of both sides; where they share a table, its gradient is added up once."""
        encoders = [getattr(self, name) for name in NETWORK_NAMES]
        tied = self.tables[0] == self.tables[1]
        if not (tied and all(isinstance(encoder, PooledEmbedding) for encoder in encoders)):
            return self.encode(0, in0, rngs), self.encode(1, in1, rngs)
        sides = _require_int32(in0), _require_int32(in1)
        totals = sum_vectors(getattr(self, self.tables[0]).weight[...], *sides)
        first, second = (
            encoder.average(total, ids, rngs)
            for encoder, total, ids in zip(encoders, totals, sides, strict=True)
        )
        return first, second

    def __call__(
        self, in0: Integer[Array, "batch length0"], in1: Integer[Array, "batch length1"]
    ) -> Float[Array, "batch outputs"]:
        """Class probabilities, or for regression the raw value."""
        return self.head(self.encode(0, in0), self.encode(1, in1))
