"""`python -m bench.load JOB BODIES`: does a job, given as JSON, and prints its figures as JSON."""

import json
import sys
import time
from pathlib import Path

from bench.load.figures import compute_figures
from bench.load.job import Job
from bench.load.loop import Load


def main(job: str, bodies: str) -> None:
    """Does the job with the bodies, one a line, of a file."""
    load = Load(Job(**json.loads(job)), Path(bodies).read_bytes().split(b"\n"))
    began = time.process_time()
    load.run()
    print(json.dumps(compute_figures(load, time.process_time() - began)))


if __name__ == "__main__":
    main(*sys.argv[1:])
