"""Benchmarks run for real, in their tiniest form."""

import json

import pytest
from click.testing import CliRunner

import o2v_jax
from o2v_jax import Hyperparameters, Model, TextTokenizer, Tokenizer, Vocabulary


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The directory of a small model, of few programs."""
    config = Hyperparameters(
        enc0_max_seq_len=4,
        enc0_vocab_size=60,
        enc0_network="pooled_embedding",
        enc_dim=8,
        mlp_dim=8,
        num_classes=3,
    )
    words = Vocabulary({"<unk>": 1} | {f"word{at}": at for at in range(2, 60)})
    tokenizer = Tokenizer("text", TextTokenizer.word_level(words))
    model = Model(config, o2v_jax.init(config), (tokenizer, tokenizer))
    return o2v_jax.save(model, tmp_path_factory.mktemp("m") / "tiny")


@pytest.fixture
def measured(tmp_path):
    """A function of a benchmark's main and its arguments: the results that it wrote."""

    def run(main, *arguments):
        file = tmp_path / "results.json"
        done = CliRunner().invoke(main, [*map(str, arguments), "--quick", "--json", str(file)])
        if done.exception:
            raise done.exception
        results = json.loads(file.read_text())
        assert {"benchmark", "quick", "date", "machine"} <= set(results)
        assert {"commit", "processor", "cores", "versions"} <= set(results["machine"])
        return results

    return run


@pytest.fixture(scope="session")
def needs():
    """A function of packages: skips where one of them is not installed."""

    def check(*packages):
        for package in packages:
            reason = f"the bench extra, which brings {package}, is not installed"
            pytest.importorskip(package, reason=reason)

    return check
