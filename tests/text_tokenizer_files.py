"""Tokenizers as others make them with the `tokenizers` library."""

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from o2v_jax.data.text_tokenizers import TextTokenizer


def make_byte_level():
    """BPE of bytes, as GPT-2's, which knows every text; "[SEP]" in a text is one token."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: at for at, token in enumerate(["<pad>", *alphabet, "an", "man"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("a", "n"), ("m", "an")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken("[SEP]")])
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=9)
    return TextTokenizer(tokenizer.to_str().encode())


def make_unigram():
    """A unigram model as SentencePiece makes them: blanks are part of the tokens."""
    pieces = [("<pad>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), ("a", -3.0), ("man", -4.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=1))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return TextTokenizer(tokenizer.to_str().encode())
