"""Tokenizers of the `tokenizers` library: texts to ids by words, byte pairs or word pieces.

A tokenizer is kept as the library's own tokenizer.json. What this file says is read without the
library, so that models which have one can be loaded and given ids where it is not installed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from importlib.util import find_spec
from itertools import compress
from pathlib import Path
from typing import Any, cast

import orjson

from o2v_jax.arguments import require_instance, require_path
from o2v_jax.data.ascii_words import AsciiEncoder, is_plain
from o2v_jax.data.ragged import Ragged
from o2v_jax.data.tokenizer_document import (
    MODELS,
    check_merges,
    check_padding,
    find_unknown,
    read_tokens,
    require_model,
)
from o2v_jax.data.vocabulary import (
    NO_TEXT,
    UNKNOWN,
    Vocabulary,
    name_ids,
    parse_json_object,
    read_json_object,
)
from o2v_jax.errors import InputError
from o2v_jax.extras import require_extra
from o2v_jax.util import translate_read_errors

_BATCH = 1024  # texts whose encodings, which are larger than their ids, are held at a time
_USER = "splitting a text into tokens"


class TextTokenizer:
    """A tokenizer of the `tokenizers` library, as a tokenizer.json holds it.

    Truncation, padding and special tokens that it would add around a text are not applied: the
    model's hyperparameters bound the length, and the encoders see the text alone.

    Args:
        content: of a tokenizer.json.
        name: what errors call it.

    Raises:
        InputError: it is not a tokenizer.json, id 0 is a token other than padding, the model lacks
            its unknown token, or its ids depend on chance (BPE's dropout).
    """

    def __init__(self, content: bytes, name: str = "tokenizer.json") -> None:
        require_instance("content", content, bytes, "the bytes of a tokenizer.json")
        document = parse_json_object(content, name)
        self.content = content
        try:
            model = require_model(document)
            self.algorithm = MODELS[model["type"]]
            self.tokens: Mapping[str, int] = read_tokens(model, document)
            self.unknown_id = find_unknown(model, self.tokens)
            check_padding(self.tokens, document)
            check_merges(model)
            if find_spec("tokenizers"):
                _ = self._backend  # what else is wrong is said now
        except InputError as error:
            raise InputError(f"{name}: {error}") from error

    @classmethod
    def read(cls, path: str | Path) -> "TextTokenizer":
        """Reads a tokenizer.json.

        Raises:
            InputError: it cannot be read, or is wrong.
        """
        path = require_path("path", path)
        with translate_read_errors(path):
            return cls(path.read_bytes(), path.name)

    @classmethod
    def word_level(cls, vocabulary: Vocabulary) -> "TextTokenizer":
        """Words as `split_words` makes them, with the ids of a vocabulary that has `"<unk>"`.

        Raises:
            InputError: it has no `"<unk>"`.
            MissingExtraError: the library is not installed.
        """
        models = _import_library().models
        model = models.WordLevel(dict(vocabulary.tokens), unk_token=UNKNOWN)
        return cls.of_model(model, lowercase=vocabulary.lowercase)

    @classmethod
    def of_model(cls, model: Any, *, lowercase: bool = True) -> "TextTokenizer":
        """A model of the library's, which is given what `split_words` makes of a text."""
        backend = _import_library().Tokenizer(model)
        backend.normalizer, backend.pre_tokenizer = _make_splitter(lowercase)
        return cls(backend.to_str(pretty=True).encode())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TextTokenizer) and self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def __repr__(self) -> str:
        return f"TextTokenizer({self.algorithm}, {len(self.tokens):,} tokens)"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.content,)

    @property
    def size(self) -> int:
        """The smallest `vocab_size` that holds every id."""
        return max(self.tokens.values(), default=0) + 1

    def encode(self, text: str) -> list[int]:
        """The ids of a text's tokens.

        Raises:
            InputError: it is no text, or the library cannot split it.
            MissingExtraError: the library is not installed.
        """
        require_instance("text", text, str, "a text")
        if self._ascii is not None and is_plain(text):
            return self._ascii.encode(text)
        try:
            ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        except MemoryError:
            raise
        except (TypeError, UnicodeEncodeError) as error:
            raise InputError(NO_TEXT) from error
        except Exception as error:  # the library's own errors have no type of their own
            _raise_ours(error)
            raise InputError(f"cannot be split into tokens: {error}") from error
        return ids

    def encode_each(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """The ids of texts, many at a time: faster than one by one.

        Raises:
            InputError: at the text that is wrong; see `encode`.
        """
        encode = self._encode_batch if self._ascii is None else self._encode_mixed
        for first in range(0, len(texts), _BATCH):
            yield from encode(texts[first : first + _BATCH])

    def encode_plain(self, texts: Sequence[str]) -> Ragged | None:
        """As `encode_each`, of printable ASCII texts, in a fraction of the time.

        Returns:
            The ids; None: there are other texts, or the tokenizer is none of `word_level`.
        """
        if self._ascii is None or not is_plain("".join(texts)):
            return None
        return self._ascii.encode_each(texts)

    def _encode_mixed(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """Printable ASCII texts all at once, every other one by the library."""
        plain = [is_plain(text) for text in texts]
        rows = iter(
            cast(AsciiEncoder, self._ascii).encode_each([*compress(texts, plain)]).to_lists()
        )
        for text, by_us in zip(texts, plain, strict=True):
            yield next(rows) if by_us else self.encode(text)

    @cached_property
    def _ascii(self) -> AsciiEncoder | None:
        """For ASCII texts; None: other things than those of `split_words` happen."""
        _import_library()  # which other texts need
        document = orjson.loads(self.content)
        is_ours = self.algorithm == "word" and not document.get("added_tokens")
        steps = document.get("normalizer"), document.get("pre_tokenizer")
        if not is_ours or steps != _describe_splitter():
            return None
        return AsciiEncoder(self.tokens, cast(int, self.unknown_id))

    def _encode_batch(self, texts: Sequence[str]) -> Iterable[list[int]]:
        if len(texts) > 1:
            try:
                encodings = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
                return [encoding.ids for encoding in encodings]
            except Exception as error:  # noqa: BLE001 - which text it is of is found below
                _raise_ours(error)
        return map(self.encode, texts)

    def split(self, text: str) -> list[str]:
        """The tokens of a text; of words, also those that the vocabulary lacks.

        Raises:
            InputError: as `encode`.
        """
        backend = self._backend
        if self.algorithm != "word" or backend.get_added_tokens_decoder():
            return [backend.id_to_token(index) for index in self.encode(text)]
        self.encode(text)  # refuses what is no text
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        if backend.pre_tokenizer is None:
            return [text] if text else []
        return [word for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The tokens of ids, for people to read: an id that no token has is written as `<7>`."""
        return name_ids(ids, self._by_id)

    @cached_property
    def _by_id(self) -> dict[int, str]:
        return {index: token for token, index in self.tokens.items()}

    def encode_word(self, word: str) -> list[int]:
        """The ids of one word that `split_words` made."""
        return [token.id for token in self._backend.model.tokenize(word)]

    @cached_property
    def _backend(self) -> Any:
        tokenizer = _import_library().Tokenizer
        try:
            backend = tokenizer.from_str(self.content.decode())
        except Exception as error:
            _raise_ours(error)
            raise InputError(f"is not a tokenizer of the tokenizers library: {error}") from error
        backend.no_truncation()
        backend.no_padding()
        return backend


def split_words(text: str, *, lowercase: bool = True) -> list[str]:
    """The words of a text: NFKC, lower case, without control characters, then split.

    Blanks and punctuation end a word, every punctuation character and every Chinese character is
    a word, as in BERT's tokenizer (Devlin et al. 2019), but accents stay.

    Raises:
        InputError: it is no Unicode text.
        MissingExtraError: the library is not installed.

    >>> split_words("A man isn't sleeping.")
    ['a', 'man', 'isn', "'", 't', 'sleeping', '.']
    """
    normalizer, pre_tokenizer = _make_splitter(lowercase)
    try:
        normalized = normalizer.normalize_str(text)
    except UnicodeEncodeError as error:
        raise InputError(NO_TEXT) from error
    return [word for word, _ in pre_tokenizer.pre_tokenize_str(normalized)]


def read_vocabulary(path: str | Path) -> Vocabulary | TextTokenizer:
    """Reads a JSON map of token -> id, or a tokenizer.json.

    Raises:
        InputError: it is neither.
    """
    path = require_path("path", path)
    if is_tokenizer(read_json_object(path)):
        return TextTokenizer.read(path)
    return Vocabulary.read(path)


def is_tokenizer(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a tokenizer.json: a map of token -> id holds no objects."""
    return isinstance(document.get("model"), dict)


def read_token_ids(path: str | Path) -> dict[str, Any]:
    """Token -> id of a JSON map or of a tokenizer.json. The ids of a map are not checked.

    Raises:
        InputError: the file cannot be read, is not JSON, or is a wrong tokenizer.json.
    """
    found = read_json_object(path)
    return dict(TextTokenizer.read(path).tokens) if is_tokenizer(found) else found


@cache
def _describe_splitter() -> tuple[Any, Any]:
    """The parts of a tokenizer.json that say what `split_words` does."""
    library = _import_library()
    backend = library.Tokenizer(library.models.WordLevel({UNKNOWN: 1}, unk_token=UNKNOWN))
    backend.normalizer, backend.pre_tokenizer = _make_splitter(lowercase=True)
    document = orjson.loads(backend.to_str())
    return document["normalizer"], document["pre_tokenizer"]


@cache
def _make_splitter(lowercase: bool) -> tuple[Any, Any]:
    """The library's normalizer and pre-tokenizer of every tokenizer that is made here."""
    library = _import_library()
    bert = library.normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=lowercase
    )
    normalizer = library.normalizers.Sequence([library.normalizers.NFKC(), bert])
    return normalizer, library.pre_tokenizers.BertPreTokenizer()


def _import_library() -> Any:
    require_extra("text", _USER, "tokenizers")
    import tokenizers  # noqa: PLC0415  only models that have such a tokenizer need it

    return tokenizers


def _raise_ours(error: Exception) -> None:
    if isinstance(error, InputError | MemoryError):
        raise error
