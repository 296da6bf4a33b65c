import subprocess
import sys

import pytest

pytestmark = pytest.mark.process

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


RESIDENT = """
import numpy as np
from o2v_jax.memory import give_back_freed_memory, keep_freed_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
assert keep_freed_memory()
large = [np.ones(1 << 23) for _ in range(4)]  # 64 MB each
last = np.ones(1 << 20)  # above them: nothing is freed at the end of the heap
del large
kept = resident()
give_back_freed_memory()
print(kept - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps memory")
def test_memory_that_is_kept_can_be_given_back():
    given_back = int(subprocess.check_output([sys.executable, "-c", RESIDENT]))
    assert given_back > 200e6


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits addresses")
def test_a_limit_on_addresses_is_no_obstacle():
    limited = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n"
    script = limited + FAULTS.format(keep=True)
    assert int(subprocess.check_output([sys.executable, "-c", script])) < 20_000
