"""The one door to Dask: a cluster at an address, or one of processes on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import RemoteError, SettingsError

if TYPE_CHECKING:
    from distributed import Client, Future

    Call = Future[Any]

Answer = TypeVar("Answer")
PATIENCE_S = 120.0
"""So long may a scheduler not answer, or be without a worker."""


class WorkerLost(RemoteError):
    """A call that was on several workers, each of which was lost."""


class Cluster:
    """Calls functions on workers.

    Args:
        client: Connected to a scheduler.
        address: Of that scheduler.

    Attributes:
        address: Likewise.
    """

    def __init__(self, client: Client, address: str) -> None:
        self._client = client
        self.address = address

    @property
    def workers(self) -> int:
        """How many there are now."""
        return len(self._client.nthreads())

    def submit(self, function: Callable[..., Any], *arguments: object) -> Call:
        """Have a worker call a function; if the worker is lost, another does.

        What a function raises it would raise again, so that this is not retried.
        """
        return self._client.submit(function, *arguments, pure=False, retries=0)

    def everywhere(self, function: Callable[[], Answer]) -> dict[str, Answer]:
        """Have every worker call a function; returns what each gave, by its address."""
        answers: dict[str, Answer] = self._client.run(function)
        return answers

    def finished(self, calls: list[Call], patience_s: float = PATIENCE_S) -> set[Call]:
        """Wait until one of some calls has ended.

        Returns:
            Those that have, in no order; none where all took longer than was waited.

        Raises:
            RemoteError: There is no worker any more.
        """
        from distributed import wait

        try:
            return set(wait(calls, timeout=patience_s, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            self.require_worker(patience_s)
            return set()

    def require_worker(self, patience_s: float) -> None:
        """Wait for a worker.

        Raises:
            RemoteError: There is none.
        """
        if self.workers:
            return
        try:
            self._client.wait_for_workers(1, timeout=patience_s)
        except TimeoutError as fault:
            raise RemoteError(
                f"Expected a worker at the Dask scheduler at {self.address}, found none. Start some with `dask worker "
                f"{self.address}`, then run again; what is done is kept."
            ) from fault


def outcome(call: Call) -> Any:
    """What a call returned.

    Raises:
        WorkerLost: Several workers were lost with it.
        RemoteError: It raised something.
    """
    from distributed import KilledWorker

    fault = call.exception()
    if isinstance(fault, KilledWorker):
        raise WorkerLost(str(fault))
    if fault is not None:
        raise RemoteError(f"A Dask worker failed: {type(fault).__name__}: {fault}") from fault
    return call.result()


def require_dask() -> None:
    """Refuse what cannot work before anything else is done.

    Raises:
        SettingsError: Dask is not installed.
    """
    if find_spec("distributed") is None:
        raise SettingsError(
            "runner.kind is dask, and the package distributed is missing. Install it with "
            "`pip install 'crosscheck[dask]'`, or set runner.kind to processes."
        )


@contextmanager
def connected(scheduler: str | None, workers: int, patience_s: float = PATIENCE_S) -> Iterator[Cluster]:
    """A cluster with at least one worker.

    Args:
        scheduler: Address of its scheduler; without one a cluster is started here, and ended with the block.
        workers: Processes of a cluster that is started here.
        patience_s: So long may the scheduler not answer, or be without a worker.

    Raises:
        RemoteError: It does not answer, or has no worker.
    """
    from distributed import Client

    with ExitStack() as stack:
        address = scheduler or stack.enter_context(_started(workers))
        try:
            client = stack.enter_context(Client(address, timeout=patience_s))
        except (OSError, ValueError) as fault:
            raise RemoteError(
                f"Expected a Dask scheduler at {address}, got: {fault}. Start one with `dask scheduler`, or correct "
                "runner.dask_scheduler."
            ) from fault
        cluster = Cluster(client, address)
        cluster.require_worker(patience_s)
        yield cluster


@contextmanager
def connection_guard(cluster: Cluster) -> Iterator[None]:
    """Say what to do about a scheduler that is lost inside the block.

    Raises:
        RemoteError: It is.
    """
    from distributed.comm.core import CommClosedError

    try:
        yield
    except (CancelledError, CommClosedError) as fault:
        raise RemoteError(
            f"The Dask scheduler at {cluster.address} was lost. Start it again, then run again; what is done is kept."
        ) from fault


@contextmanager
def _started(workers: int) -> Iterator[str]:
    from distributed import LocalCluster

    # A detector may take what it needs: without a limit Dask neither pauses nor ends a worker.
    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        memory_limit=0,
        dashboard_address="127.0.0.1:0",
        preload=["pipeline.runners.dask_worker"],
    ) as cluster:
        yield cluster.scheduler_address
