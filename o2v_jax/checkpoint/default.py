"""Which model is meant where none is named."""

from collections.abc import Mapping
from pathlib import Path

from o2v_jax.errors import InputError
from o2v_jax.util import require_local

SAGEMAKER_MODEL = Path("/opt/ml/model")
DEMONSTRATION_MODEL = Path(__file__).parents[2] / "checkpoints" / "snli-hcnn"


def default_model(environment: Mapping[str, str]) -> Path:
    """O2V_MODEL, else SageMaker's model directory, else the demonstration model of this project.

    Raises:
        InputError: nothing is named, and neither directory exists, or a URL is named.
    """
    if named := environment.get("O2V_MODEL", "").strip():
        require_local(named)
        return Path(named)
    for path in (SAGEMAKER_MODEL, DEMONSTRATION_MODEL):
        if path.exists():
            return path
    raise InputError(
        f"no model: none is named by --model or O2V_MODEL, nor is in {SAGEMAKER_MODEL}"
    )
