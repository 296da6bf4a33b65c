"""The model card that training writes: the Hub reads its front matter, people the rest."""

from dataclasses import replace

import numpy as np
import pytest
from huggingface_hub import ModelCard

import o2v_jax
from o2v_jax.checkpoint.model import CARD
from o2v_jax.errors import CheckpointError, InputError
from o2v_jax.training import Job
from o2v_jax.training.report.card import write_card

SMALL = {"enc_dim": 8, "mlp_layers": 1, "mlp_dim": 4, "mini_batch_size": 512, "epochs": 1}


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(0)
    return o2v_jax.train(
        {
            "user": rng.integers(1, 9, 40),
            "film": rng.choice(["Heat | `1995`", "Alien"], 40),
            "liked": rng.choice(["yes", "no"], 40),
        },
        in0="user",
        in1="film",
        label="liked",
        kinds="value",
        test=0.2,
        hyperparameters=SMALL,
        devices=1,
        license_id="cc-by-4.0",
    )


@pytest.mark.slow
def test_the_hub_reads_the_front_matter(model):
    card = ModelCard(model.card)
    assert card.data.license == "cc-by-4.0"
    assert card.data.library_name == "o2v_jax"
    assert card.data.metrics == ["accuracy", "cross_entropy"]
    found = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert found == model.metrics["test"]


def test_people_read_how_it_was_made(model):
    text = model.card
    assert "- takes in0 value, in1 value\n- classes no, yes" in text
    assert f"{model.provenance['records']} records were trained on." in text
    for digest in model.provenance["data_sha256"].values():
        assert digest in text
    assert f"| test | {model.metrics['test']['cross_entropy']:.6g} |" in text
    assert "`enc_dim=8`" in text
    assert "in0: tokens beyond the 10 ids of the vocabulary share one embedding" in text
    assert text.endswith("## Licence\n\ncc-by-4.0\n")


def test_a_card_without_test_channel_or_licence_says_so(model):
    text = write_card(replace(model, metrics={}, tokenizers=None))
    assert "No epoch was finished." in text
    assert "model-index" not in text
    assert text.endswith("## Licence\n\nNot stated.\n")


@pytest.mark.parametrize("license_id", ["mit\n# x", "mit\n", "a\rb", None])
def test_a_licence_is_one_line_for_jobs_too(config_of, tmp_path, license_id):
    with pytest.raises(InputError, match="license_id="):
        Job(config=config_of(), train=(), output=tmp_path, license_id=license_id)


def test_it_travels_with_the_model_and_may_be_edited(model, tmp_path):
    directory = o2v_jax.save(model, tmp_path / "model")
    assert o2v_jax.load(directory).card == model.card
    (directory / CARD).write_text("# Mine\n")
    archive = o2v_jax.pack(directory, tmp_path / "model.tar.gz")
    assert o2v_jax.load(archive).card == "# Mine\n"
    (directory / CARD).write_bytes(b"\xff\xfe")
    with pytest.raises(CheckpointError, match=r"README\.md is not UTF-8 text"):
        o2v_jax.load(directory)
    (directory / CARD).unlink()
    assert o2v_jax.load(directory).card == ""
