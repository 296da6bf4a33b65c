import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from o2v_jax.memory import keep_freed_memory
keep = {keep}
assert not keep or keep_freed_memory()
np.ones(1 << 23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    np.ones(1 << 23)  # 64 MB
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told to keep memory")
def test_memory_that_is_kept_is_not_asked_for_again():
    mapped, kept = (
        int(subprocess.check_output([sys.executable, "-c", FAULTS.format(keep=keep)]))
        for keep in (False, True)
    )
    assert kept < mapped / 10
