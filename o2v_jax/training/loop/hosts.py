"""Several hosts that train one model: joining, comparing what they train on, ending in step.

JAX's own distributed runtime connects them. The first host runs its coordination service, writes
the model and is the one whose words are broadcast. Every host runs the same steps in the same
order; where they could differ, because of a clock or a signal, they agree first (`Agreement`).

A host that fails reports the reason to the others, and they end with its message and its status.
One that vanishes is missed within HEARTBEAT seconds: JAX then aborts the others.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import jax

from o2v_jax.errors import InputError, Interrupted
from o2v_jax.training.loop.agreement import broadcast
from o2v_jax.training.loop.failures import DELIVERY, FailureChannel, is_local, open_channel
from o2v_jax.training.report.metric_lines import HOST

# timeouts in seconds: to come together, to miss a host, to write the model
JOIN, HEARTBEAT, END = 300, 30, 900

_COLLECTIVES = "Gloo", "NCCL", "coordination service"  # whose errors name them

_log = logging.getLogger("o2v_jax")


@dataclass(frozen=True)
class Hosts:
    """The hosts of a run by name, in an order that all of them know, and which one this is.

    `coordinator` is HOST:PORT, an address of the first host that the others reach.
    """

    names: tuple[str, ...] = (HOST,)
    index: int = 0
    coordinator: str = ""

    @classmethod
    def numbered(cls, number: int, index: int, coordinator: str) -> "Hosts":
        """Hosts named as SageMaker does: algo-1, algo-2 and so on."""
        return cls(tuple(f"algo-{at + 1}" for at in range(number)), index, coordinator)

    @property
    def alone(self) -> bool:
        """Whether there is but one."""
        return len(self.names) == 1

    @property
    def first(self) -> bool:
        """Whether this one writes what is written."""
        return self.index == 0

    @property
    def name(self) -> str:
        """Of this host."""
        return self.names[self.index]

    @contextmanager
    def join(self, on_failure: Callable[[str], None] = lambda _: None) -> Iterator[None]:
        """Within the block the hosts are connected; all leave it, or all end with one's failure.

        `on_failure` is called with another host's reason before this process ends with it.

        Raises:
            InputError: they do not connect.
        """
        if self.alone:
            yield
            return
        self._connect()
        channel = open_channel(self.coordinator, len(self.names), on_failure, first=self.first)
        try:
            with self._report_failures(channel):
                yield
            _wait_for_all()
        except AgreedInterruption:
            _wait_for_all()
            raise
        finally:
            channel.close()
        jax.distributed.shutdown()

    def require_same(self, run: Mapping[str, str]) -> None:
        """Checks that this host has the hyperparameters, data and seed of the first one.

        Raises:
            InputError: something differs.
        """
        if self.alone:
            return
        first = broadcast(dict(run))
        other = [name for name in run | first if run.get(name) != first.get(name)]
        if other:
            raise InputError(
                f"{', '.join(other[:3])}: {self.name} and {self.names[0]} differ, but every host "
                "needs the same files (in SageMaker the distribution FullyReplicated) and settings"
            )

    @contextmanager
    def _report_failures(self, channel: FailureChannel) -> Iterator[None]:
        try:
            yield
        except AgreedInterruption:
            raise
        except BaseException as error:
            _wait_for_report(error)
            channel.report(self.name, error)
            raise

    def _connect(self) -> None:
        # else JAX would take SIGTERM for itself; by an `Agreement` the hosts stop at one batch
        jax.config.update("jax_enable_preemption_service", False)
        local = is_local(self.coordinator.rpartition(":")[0])
        try:
            jax.distributed.initialize(
                self.coordinator,
                len(self.names),
                self.index,
                # by default on all addresses, which a run on one machine has no use for
                coordinator_bind_address=self.coordinator if local else None,
                initialization_timeout=JOIN,
                heartbeat_timeout_seconds=HEARTBEAT,
                shutdown_timeout_seconds=END,
            )
        except (RuntimeError, ValueError) as error:
            reason = str(error).partition("\n")[0]
            where = f"the {len(self.names)} hosts of the run at {self.coordinator}"
            raise InputError(f"{where}: they have not connected ({reason})") from error


class AgreedInterruption(Interrupted):
    """An interruption that all hosts agreed on, so that none has to report it to the others."""


def _wait_for_all() -> None:
    """Waits until the first host has written the model; a failure there ends the wait."""
    # its import takes half a second, which a run on one host spares
    from orbax.checkpoint.multihost import get_barrier_sync_fn  # noqa: PLC0415

    get_barrier_sync_fn()(key="o2v/end", timeout_ms=END * 1000)


def _wait_for_report(error: BaseException) -> None:
    """A lost connection is another host's failure: its report or JAX soon ends this process."""
    if any(word in str(error) for word in _COLLECTIVES):
        _log.error("the connection to another host is lost: %s", str(error).partition("\n")[0])
        time.sleep(HEARTBEAT + DELIVERY)
