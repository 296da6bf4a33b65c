"""Training: data, batches, the step, the loop around it, and what a run reports."""

from o2v_jax.extras import require_extra

require_extra("train", __name__)

from o2v_jax.training.data.dataset import Dataset, dataset, read_dataset
from o2v_jax.training.from_table import train
from o2v_jax.training.job import Job
from o2v_jax.training.loop.evaluation import measure_model
from o2v_jax.training.loop.hosts import Hosts
from o2v_jax.training.loop.run import Run
from o2v_jax.training.sagemaker import (
    container_hosts,
    container_job,
    failure_reported,
    write_failure,
)

__all__ = [
    "Dataset",
    "Hosts",
    "Job",
    "Run",
    "container_hosts",
    "container_job",
    "dataset",
    "failure_reported",
    "measure_model",
    "read_dataset",
    "train",
    "write_failure",
]
