"""Every argument of every public function: what cannot be meant is an `InputError`."""
# ruff: noqa: ARG005 - the table's functions are called alike

import inspect
import pickle
from dataclasses import replace
from types import SimpleNamespace

import jaxtyping
import numpy as np
import pytest

import o2v_jax
from o2v_jax import InputError, O2VError, Ragged, Scorer, TextTokenizer, Tokenizer, Vocabulary

ROWS = [[4, 7], [5]]
# arguments that are documented as unchecked: what holds values, and what JAX and Flax call
UNCHECKED = {
    "Evaluation",
    "CheckpointError",
    "EncoderConfig",
    "Hits",
    "HyperparameterError",
    "Index",
    "InputError",
    "Model",
    "O2VError",
    "Object2Vec",
    "Ranking",
    "RankingEvaluation",
    "RecordError",
}


@pytest.fixture(scope="module")
def made(config_of, model_of, tmp_path_factory):
    model = model_of(config_of(enc0_network="pooled_embedding", mlp_layers=0))
    scorer = Scorer(model, max_programs=24)
    words = Vocabulary({"<unk>": 1, "a": 2})
    file = tmp_path_factory.mktemp("made") / "vocab.json"
    words.write(file)
    index = o2v_jax.Index.build(model, ROWS, class_index=1, scorer=scorer)
    return SimpleNamespace(
        model=model, config=model.config, scorer=scorer, words=words, file=file, index=index
    )


def rank(**given):
    usual = {"query": [1], "candidates": ROWS, "k": 1, "class_index": 0}
    return lambda made: made.scorer.rank(**usual | given)


def ranking(**given):
    usual = {"in0": ROWS, "in1": ROWS, "class_index": 1}
    return lambda made: o2v_jax.evaluate_ranking(made.scorer, **usual | given)


def build(**given):
    usual = {"items": ROWS, "class_index": 1}
    return lambda made: o2v_jax.Index.build(made.model, **usual | {"scorer": made.scorer} | given)


def scorer_of(**given):
    return lambda made: Scorer(made.model, **given)


def train(**given):
    usual = {"in0": ROWS, "in1": ROWS, "label": [0] * len(ROWS), "validation": 0}
    return lambda _: o2v_jax.train(**usual | given)


WRONG = {
    "Hyperparameters.enc_dim": lambda m: o2v_jax.Hyperparameters(enc_dim="x"),
    "Hyperparameters.from_strings.mapping": lambda m: m.config.from_strings([1]),
    "Hyperparameters.encoder.side": lambda m: m.config.encoder("in0"),
    "Ragged.ids": lambda m: Ragged(np.ones(1), np.array([0, 1])),
    "Ragged.offsets": lambda m: Ragged(np.array([1]), [0.0, 1.0]),
    "Ragged.of.rows": lambda m: Ragged.of("ab"),
    "Scorer.model": lambda m: Scorer({}),
    "Scorer.preferred_mode": scorer_of(preferred_mode=["embedding"]),
    "Scorer.max_programs": scorer_of(max_programs=None),
    "Scorer.dtype": scorer_of(dtype=np.float32),
    "Scorer.device": scorer_of(device="cpu"),
    "Scorer.profile": scorer_of(profile="cpu"),
    "Scorer.score.in0": lambda m: m.scorer.score(None, ROWS),
    "Scorer.score.in1": lambda m: m.scorer.score(ROWS, [1, 2]),
    "Scorer.score.max_seq_lens": lambda m: m.scorer.score(ROWS, ROWS, max_seq_lens=5),
    "Scorer.embed.in0": lambda m: m.scorer.embed([1]),
    "Scorer.embed.in1": lambda m: m.scorer.embed(in1="ab"),
    "Scorer.embed.max_seq_lens": lambda m: m.scorer.embed(ROWS, max_seq_lens=(5, None)),
    "Scorer.make_query_scorer.queries": lambda m: m.scorer.make_query_scorer(
        5, ROWS, class_index=1
    ),
    "Scorer.make_query_scorer.candidates": lambda m: m.scorer.make_query_scorer(
        ROWS, "ab", class_index=1
    ),
    "Scorer.make_query_scorer.query_side": lambda m: m.scorer.make_query_scorer(
        ROWS, ROWS, query_side="in0", class_index=1
    ),
    "Scorer.make_query_scorer.class_index": lambda m: m.scorer.make_query_scorer(
        ROWS, ROWS, class_index=3
    ),
    "Scorer.rank.query": rank(query="ab"),
    "Scorer.rank.candidates": rank(candidates=3),
    "Scorer.rank.k": rank(k=None),
    "Scorer.rank.k of text": rank(k="1"),
    "Scorer.rank.k of a fraction": rank(k=1.5),
    "Scorer.rank.query_side": rank(query_side="in0"),
    "Scorer.rank.query_side of 2": rank(query_side=2),
    "Scorer.rank.class_index": rank(class_index="a"),
    "Scorer.warm.threads": lambda m: m.scorer.warm("x"),
    "Scorer.warm.threads of 0": lambda m: m.scorer.warm(0),
    "Scorer.warm_first.threads": lambda m: m.scorer.warm_first(None),
    "Scorer.model with odd tokenizers": lambda m: Scorer(replace(m.model, tokenizers=m.words)),
    "Scorer.model with odd names": lambda m: Scorer(replace(m.model, class_names="ab")),
    "save.model with odd tokenizers": lambda m: o2v_jax.save(replace(m.model, tokenizers=5), "x"),
    "save.model with odd names": lambda m: o2v_jax.save(replace(m.model, class_names=["a"]), "x"),
    "Tokenizer.kind": lambda m: Tokenizer(["text"], m.words),
    "Tokenizer.vocabulary": lambda m: Tokenizer("text", {"a": 1}),
    "Tokenizer.whole_numbers": lambda m: Tokenizer("value", m.words, whole_numbers=1),
    "Tokenizer.encode.value": lambda m: Tokenizer("text", m.words).encode(None),
    "Tokenizer.split.value": lambda m: Tokenizer("tokens", m.words).split(3),
    "Tokenizer.look_up.tokens": lambda m: Tokenizer("text", m.words).look_up("a man"),
    "Tokenizer.look_up.tokens of numbers": lambda m: Tokenizer("text", m.words).look_up([3]),
    "Tokenizer.knows.token": lambda m: Tokenizer("text", m.words).knows(["a"]),
    "TextTokenizer.content": lambda m: TextTokenizer("{}"),
    "TextTokenizer.name": lambda m: TextTokenizer(b"{}", 5),
    "Vocabulary.tokens": lambda m: Vocabulary(["a"]),
    "Vocabulary.tokens of numbers": lambda m: Vocabulary({3: 1}),
    "Vocabulary.lowercase": lambda m: Vocabulary({"a": 1}, lowercase="yes"),
    "Vocabulary.build.texts": lambda m: Vocabulary.build("a man", 20),
    "Vocabulary.build.texts untokenized": lambda m: Vocabulary.build(["a man eats"], 20),
    "Vocabulary.build.texts of numbers": lambda m: Vocabulary.build([[3]], 20),
    "Vocabulary.build.texts of None": lambda m: Vocabulary.build([None], 20),
    "Vocabulary.read.path": lambda m: Vocabulary.read(5),
    "Vocabulary.read.lowercase": lambda m: Vocabulary.read(m.file, lowercase="no"),
    "Vocabulary.write.path": lambda m: Vocabulary({"a": 1}).write(5),
    "Scorer.warm.longer": lambda m: m.scorer.warm(longer="yes"),
    "Vocabulary.build.size": lambda m: Vocabulary.build([["a"]], "20"),
    "Vocabulary.build.lowercase": lambda m: Vocabulary.build([["a"]], 20, lowercase=1),
    "Vocabulary.encode.text": lambda m: m.words.encode(["a"]),
    "Vocabulary.encode_tokens.tokens": lambda m: m.words.encode_tokens("a man"),
    "Vocabulary.encode_tokens.tokens of numbers": lambda m: m.words.encode_tokens([3]),
    "compare_fn.config": lambda m: o2v_jax.compare_fn({}),
    "encode_fn.config": lambda m: o2v_jax.encode_fn(None, 0),
    "encode_fn.side": lambda m: o2v_jax.encode_fn(m.config, "in0"),
    "init.config": lambda m: o2v_jax.init({}),
    "init.seed": lambda m: o2v_jax.init(m.config, -1),
    "load.path": lambda m: o2v_jax.load(None),
    "load.path that is a URL": lambda m: o2v_jax.load("s3://bucket/model.tar.gz"),
    "load.max_archive_bytes": lambda m: o2v_jax.load("x", max_archive_bytes="1"),
    "logits_fn.config": lambda m: o2v_jax.logits_fn(m.model),
    "pack.directory": lambda m: o2v_jax.pack(3, "x.tar.gz"),
    "pack.archive": lambda m: o2v_jax.pack("x", None),
    "save.model": lambda m: o2v_jax.save({}, "x"),
    "save.directory": lambda m: o2v_jax.save(m.model, b"x"),
    "save.directory that is a URL": lambda m: o2v_jax.save(m.model, "s3://bucket/model"),
    "score_fn.config": lambda m: o2v_jax.score_fn("config"),
    "evaluate.in0": lambda m: o2v_jax.evaluate(m.model, 5, ROWS, [0]),
    "evaluate.in1": lambda m: o2v_jax.evaluate(m.model, ROWS, "ab", [0]),
    "evaluate.labels": lambda m: o2v_jax.evaluate(m.model, ROWS, ROWS, {}),
    "evaluate.dtype": lambda m: o2v_jax.evaluate(m.model, ROWS, ROWS, [0], dtype="int8"),
    "InBatchObjective.similarity": lambda m: o2v_jax.InBatchObjective(similarity="dot"),
    "InBatchObjective.temperature": lambda m: o2v_jax.InBatchObjective(temperature="1"),
    "InBatchObjective.negatives_per_pair": lambda m: o2v_jax.InBatchObjective(
        negatives_per_pair=-1
    ),
    "InBatchObjective.correct_popularity": lambda m: o2v_jax.InBatchObjective(correct_popularity=1),
    "evaluate_ranking.model_or_scorer": lambda m: o2v_jax.evaluate_ranking({}, ROWS, ROWS),
    "evaluate_ranking.in0": ranking(in0=5),
    "evaluate_ranking.in1": ranking(in1="ab"),
    "evaluate_ranking.labels": ranking(labels={}),
    "evaluate_ranking.candidates": ranking(candidates=5),
    "evaluate_ranking.known": ranking(known=ROWS[:1]),
    "evaluate_ranking.query_side": ranking(query_side="in0"),
    "evaluate_ranking.class_index": ranking(class_index=3),
    "evaluate_ranking.dtype": ranking(dtype="float16"),
    "ItemTable.path": lambda m: o2v_jax.ItemTable(5, "text"),
    "ItemTable.column": lambda m: o2v_jax.ItemTable("items.csv", 5),
    "ItemTable.key": lambda m: o2v_jax.ItemTable("items.csv", "text", 5),
    "ItemTable.layout": lambda m: o2v_jax.ItemTable("items.csv", "text", layout="csv"),
    "Index.build.items": build(items=5),
    "Index.build.side": build(side=1),
    "Index.build.keys": build(keys=5),
    "Index.build.output": build(output=5),
    "Index.build.approximate": build(approximate="yes"),
    "Index.build.class_index": build(class_index=3),
    "Index.build.candidates": build(candidates=0),
    "Index.build.queries": build(queries=5),
    "Index.build.scorer": build(scorer={}),
    "Index.load.path": lambda m: o2v_jax.Index.load(5, m.model),
    "Index.load.scorer": lambda m: o2v_jax.Index.load("index", m.model, scorer={}),
    "Index.load.verify": lambda m: o2v_jax.Index.load("index", m.model, verify="no"),
    "Index.search.queries": lambda m: m.index.search("ab"),
    "Index.search.k": lambda m: m.index.search([[1]], 0),
    "Index.search.exclude": lambda m: m.index.search([[1]], exclude=5),
    "Index.find.keys": lambda m: m.index.find("ab"),
    "train.table": lambda m: o2v_jax.train(5, in0="a", in1="b"),
    "train.in0": train(in0=5),
    "train.in1": train(in1="ab"),
    "train.label": train(label={}),
    "train.negatives": train(negatives=5),
    "train.kinds": train(kinds=["ids"]),
    "train.tokenizer": train(tokenizer="words"),
    "train.classes": train(classes="ab"),
    "train.shared_vocabulary": train(shared_vocabulary="no"),
    "train.vocab_size": train(vocab_size="9"),
    "train.min_count": train(min_count=0),
    "train.validation": train(validation="0.1"),
    "train.test": train(test=2),
    "train.hyperparameters": train(hyperparameters=[1]),
    "train.objective": train(objective="in_batch"),
    "train.auxiliary": train(auxiliary=5),
    "train.seed": train(seed="1"),
    "train.devices": train(devices="2"),
    "train.callbacks": train(callbacks=print),
    "train.on_error": train(on_error="ignore"),
    "train.verbose": train(verbose="no"),
    "train.output": train(output=5),
    "train.license_id": train(license_id=None),
    "use_compilation_cache.directory": lambda m: o2v_jax.use_compilation_cache(3),
    "use_compilation_cache.directory, a URL": lambda m: o2v_jax.use_compilation_cache("gs://a/b"),
}


@pytest.mark.parametrize("argument", WRONG)
def test_a_wrong_argument_is_refused(argument, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no such checks
    with pytest.raises(O2VError) as raised:
        WRONG[argument](made)
    kinds = (InputError, o2v_jax.HyperparameterError)
    assert isinstance(raised.value, kinds)
    assert list(tmp_path.iterdir()) == []


def test_every_public_function_and_argument_stands_in_the_table_or_is_documented():
    named = {name.split(" ")[0].split(",")[0] for name in WRONG}
    for name in set(o2v_jax.__all__) - UNCHECKED:
        public = getattr(o2v_jax, name)
        for argument in set(inspect.signature(public).parameters) - {"model", "self"}:
            if name != "Hyperparameters":
                assert f"{name}.{argument}" in named
    for kind, methods in {
        Scorer: ("score", "embed", "rank", "make_query_scorer", "warm_first", "warm"),
        o2v_jax.Index: ("build", "load", "search", "find"),
        Tokenizer: ("encode", "split", "look_up", "knows"),
        Vocabulary: ("build", "read", "write", "encode", "encode_tokens"),
    }.items():
        for method in methods:
            for argument in set(inspect.signature(getattr(kind, method)).parameters) - {
                "self",
                "model",
                "on_progress",
            }:
                assert f"{kind.__name__}.{method}.{argument}" in named


def test_what_holds_a_model_pickles_and_a_scorer_says_why_it_does_not(made):
    ranking = made.scorer.rank([4], ROWS, 2, class_index=0)
    copies = pickle.loads(pickle.dumps([made.model, made.words, Ragged.of(ROWS), ranking]))
    model, words, ragged, ranked = copies
    assert (model.config, words, ragged.offsets.tolist()) == (made.config, made.words, [0, 2, 3])
    np.testing.assert_array_equal(ranked.scores, ranking.scores)
    with pytest.raises(InputError, match="does not pickle"):
        pickle.dumps(made.scorer)
    scores = Scorer(model, max_programs=24).score(ROWS, ROWS)
    np.testing.assert_array_equal(scores, made.scorer.score(ROWS, ROWS))


def test_parameters_cannot_change_under_a_scorer(config_of, model_of):
    for network in ("pooled_embedding", "hcnn"):
        model = model_of(config_of(enc0_network=network))
        Scorer(model, max_programs=24)
        with pytest.raises(ValueError, match="read-only"):
            model.params["embed_0"]["weight"][1] = 0.0


def test_a_scorer_and_save_refuse_parameters_that_do_not_fit(made, config_of, tmp_path):
    other = config_of(enc0_network="pooled_embedding", mlp_layers=0, enc0_vocab_size=60)
    half = {"embed_0": {"weight": np.zeros((20, 8), np.float16)}}
    for model, said in (
        (o2v_jax.Model(other, made.model.params), r"must have shape \(60, 8\)"),
        (o2v_jax.Model(made.config, made.model.params | half), "must be .*float32.*float16"),
        (o2v_jax.Model(made.config, None), "params must be a nested map"),
    ):
        with pytest.raises(InputError, match=said):
            Scorer(model)
        with pytest.raises(o2v_jax.CheckpointError, match=said):
            o2v_jax.save(model, tmp_path / "model")


def test_save_and_scorer_take_the_same_maps(made, tmp_path):
    import flax  # noqa: PLC0415
    import jax  # noqa: PLC0415
    from flax import nnx  # noqa: PLC0415

    network = o2v_jax.Object2Vec(made.config, rngs=nnx.Rngs(0))
    nnx.update(network, jax.tree.map(jax.numpy.asarray, made.model.params))
    expected = made.scorer.score(ROWS, ROWS)
    for number, params in enumerate(
        (flax.core.freeze(made.model.params), nnx.state(network, nnx.Param))
    ):
        model = o2v_jax.Model(made.config, params)
        np.testing.assert_array_equal(Scorer(model, max_programs=24).score(ROWS, ROWS), expected)
        found = o2v_jax.load(o2v_jax.save(model, tmp_path / str(number)))
        jax.tree.map(np.testing.assert_array_equal, found.params, made.model.params)
