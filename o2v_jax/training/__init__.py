"""Training: data, batches, the step, the loop around it, and what a run reports."""

from o2v_jax.extras import require_extra

require_extra("train", __name__)

from o2v_jax.training.data.dataset import Dataset, collect_dataset, read_dataset
from o2v_jax.training.from_table import train
from o2v_jax.training.job import Job
from o2v_jax.training.loop.evaluation import measure_model
from o2v_jax.training.loop.hosts import Hosts
from o2v_jax.training.loop.run import Run
from o2v_jax.training.sagemaker import (
    make_container_job,
    read_container_hosts,
    report_failure,
    write_failure,
)

__all__ = [
    "Dataset",
    "Hosts",
    "Job",
    "Run",
    "collect_dataset",
    "make_container_job",
    "measure_model",
    "read_container_hosts",
    "read_dataset",
    "report_failure",
    "train",
    "write_failure",
]
