"""The model that a training run leaves, with a record of how it was made."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import jax

from o2v_jax import __version__
from o2v_jax.checkpoint import Model
from o2v_jax.data.tokenizers import Tokenizers
from o2v_jax.training.loop.run import Run
from o2v_jax.training.report.card import write_card


def make_model(
    run: Run,
    tokenizers: Tokenizers | None,
    class_names: tuple[str, ...],
    provenance: Mapping[str, Any],
    license_id: str = "",
) -> Model:
    """The model of a run's best epoch so far.

    Args:
        run: after `fit`, or where it was interrupted.
        tokenizers: of in0 and in1.
        class_names: in the order of the classes.
        provenance: what the run itself does not know: the command and the data.
        license_id: of the model, as the Hugging Face Hub writes it; empty: it is not stated.
    """
    model = Model(
        run.config,
        run.fetch_best(),
        tokenizers,
        metrics=run.metrics,
        provenance=_describe_run(run) | dict(provenance),
        length_histogram=run.train.histograms(),
        class_names=class_names,
        history=tuple(run.history),
    )
    return replace(model, card=write_card(model, license_id))


def _count_negatives(run: Run) -> dict[str, int]:
    """How many hard negatives were trained with, if there were any."""
    objective = run.config.objective
    used = objective is not None and objective.negatives_per_pair > 0
    if not (used and len(run.train.negatives)):
        return {}
    return {"negatives": int(run.train.negative_counts.sum())}


def _describe_run(run: Run) -> dict[str, Any]:
    return {
        "o2v_jax": __version__,
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "hosts": len(run.hosts.names),
        "seed": run.seed,
        "records": len(run.train),
        **_count_negatives(run),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
