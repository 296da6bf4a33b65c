"""The model card: README.md of a model directory, as the Hugging Face Hub reads it."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from o2v_jax.arguments import describe, require_instance
from o2v_jax.checkpoint import Model
from o2v_jax.checkpoint.summary import summarize_inputs, summarize_network
from o2v_jax.data.tokenizers import SIDES
from o2v_jax.errors import InputError
from o2v_jax.hyperparameters import objective_to_json

LIBRARY = "o2v_jax"
TAGS = ("object2vec", "jax", "flax")

_TEXT_TASKS = ("text-classification", "sentence-similarity")
_CHANNELS = ("train", "validation", "test")
_USE = """```bash
o2v serve --model MODEL
o2v score --model MODEL {text}
```

```python
import o2v_jax

scorer = o2v_jax.Scorer(o2v_jax.load("MODEL"))
```"""


def check_license(license_id: Any) -> None:
    """Checks what a card is to say of the licence.

    Raises:
        InputError: it is not one line of text.
    """
    require_instance("license_id", license_id, str, "a text, such as 'apache-2.0'")
    if license_id and license_id.splitlines() != [license_id]:
        raise InputError(f"license_id={describe(license_id)} must be one line")


def write_card(model: Model, license_id: str = "") -> str:
    """The card of a trained model: front matter in YAML, then Markdown.

    Args:
        model: with its metrics and provenance.
        license_id: as the Hub writes it, such as "apache-2.0"; empty: it is not stated.
    """
    # its import takes half a second, and only training needs it
    from huggingface_hub import ModelCardData  # noqa: PLC0415

    results, task = _list_results(model), _find_task(model)
    metrics = sorted({name for _, values in _list_channels(model) for name in values})
    data = ModelCardData(
        library_name=LIBRARY,
        license=license_id or None,
        metrics=metrics or None,
        model_name="Object2Vec" if results else None,
        eval_results=results or None,
        pipeline_tag=task if task in _TEXT_TASKS else None,
        tags=list(TAGS),
    )
    sections = "\n\n".join(_write_sections(model, license_id))
    return f"---\n{data.to_yaml().strip()}\n---\n\n{sections}\n"


def _find_task(model: Model) -> str:
    """What the model does, as the Hub calls it."""
    texts = {each.kind for each in model.tokenizers or ()} == {"text"}
    if model.config.objective is not None:
        return "sentence-similarity" if texts else "other"
    if model.config.is_classification:
        return "text-classification" if texts else "tabular-classification"
    return "tabular-regression"


def _list_results(model: Model) -> list[Any]:
    """The figures of the test channel, as the Hub shows them."""
    from huggingface_hub import EvalResult  # noqa: PLC0415 - as above

    return [
        EvalResult(
            task_type=_find_task(model),
            dataset_type="records",
            dataset_name="test channel",
            dataset_split="test",
            metric_type=name,
            metric_value=value,
        )
        for name, value in model.metrics.get("test", {}).items()
        if math.isfinite(value)
    ]


def _list_channels(model: Model) -> list[tuple[str, Mapping[str, float]]]:
    return [(name, model.metrics[name]) for name in _CHANNELS if name in model.metrics]


def _write_sections(model: Model, license_id: str) -> Iterator[str]:
    yield "# Object2Vec model"
    summary = [
        *summarize_network(model.config),
        *summarize_inputs(model.tokenizers, model.class_names),
    ]
    yield "\n".join(f"- {line}" for line in summary)
    yield "## Use"
    yield _USE.format(text="--text TEXT TEXT" if model.tokenizers else "RECORDS.jsonl")
    yield "## Metrics"
    yield "\n".join(_write_metrics(model))
    yield "## Data"
    yield "\n".join(_write_data(model.provenance))
    yield "## Training"
    yield "\n".join(_write_training(model))
    yield "## Limits"
    yield "\n".join(_write_limits(model))
    yield "## Licence"
    yield license_id or "Not stated."


def _write_metrics(model: Model) -> Iterator[str]:
    channels = _list_channels(model)
    if not channels:
        yield "No epoch was finished."
        return
    names = [*dict.fromkeys(name for _, values in channels for name in values)]
    yield f"| channel | {' | '.join(names)} |"
    yield "| --- |" + " --- |" * len(names)
    for channel, values in channels:
        cells = (f"{values[name]:.6g}" if name in values else "" for name in names)
        yield f"| {channel} | {' | '.join(cells)} |"
    yield ""
    yield f"The parameters are those of epoch {model.metrics.get('best_epoch')}, counted from 0."
    yield "Figures of the train channel are means over that epoch, with dropout."


def _write_data(provenance: Mapping[str, Any]) -> Iterator[str]:
    negatives = provenance.get("negatives")
    having = f", with {negatives:,} hard negatives" if negatives else ""
    yield f"{provenance['records']:,} records were trained on{having}."
    yield ""
    yield "| channel | file | SHA-256 |"
    yield "| --- | --- | --- |"
    for channel, files in provenance.get("files", {}).items():
        for file in files:
            yield f"| {channel} | {_escape(file['name'])} | {file['sha256']} |"
    for channel, digest in provenance.get("data_sha256", {}).items():
        yield f"| {channel} | ids and labels in memory | {digest} |"


def _write_training(model: Model) -> Iterator[str]:
    made = model.provenance
    yield f"By o2v_jax {made['o2v_jax']} and JAX {made['jax']} on {made['device']},"
    yield f"seed {made['seed']}, finished {made['finished']}:"
    yield ""
    yield f"```\n{made.get('command') or 'o2v train'}\n```"
    yield ""
    settings = model.config.to_strings().items()
    if model.config.objective is not None:
        yield f"Objective: `{json.dumps(objective_to_json(model.config.objective))}`"
        yield ""
    yield "Hyperparameters: " + ", ".join(f"`{name}={_escape(value)}`" for name, value in settings)


def _write_limits(model: Model) -> Iterator[str]:
    for side, name in enumerate(SIDES):
        encoder = model.config.encoder(side)
        yield f"- {name}: sequences are cut to {encoder.max_seq_len} tokens."
        tokenizer = model.tokenizers[side] if model.tokenizers else None
        if tokenizer is not None and tokenizer.kind != "ids":
            fate = "share one embedding" if tokenizer.unknown_id is not None else "are left out"
            yield f"- {name}: tokens beyond the {tokenizer.size:,} ids of the vocabulary {fate}."
    yield "- It knows what its training data says, with the mistakes and the biases of that data."


def _escape(text: str) -> str:
    """A text that ends neither a table's cell nor code."""
    return text.replace("|", "\\|").replace("`", "'").replace("\n", " ")
