"""Workers of a batch on a Ray cluster: one actor each, with a share of a GPU where the cluster has any.

Ray starts the actors and sees them die; what is to be done, tried again and kept is decided by `run_batch` and by the
notes beside the results, so nothing is lost with an actor, a node or the cluster's head.
"""

import os
from typing import Any

import scenewright
from scenewright.batch.manifest import Task
from scenewright.batch.pools import died
from scenewright.batch.worker import BatchWorker, Outcome, Setup
from scenewright.errors import InputError, MissingExtraError

__all__ = ["RayPool", "connect"]

_EVERY_CPU = 1


class _Actor(BatchWorker):
    """A worker as Ray starts it."""

    def version(self) -> tuple[str, int]:
        """The library's version, and the process, on the actor's machine."""
        return scenewright.__version__, os.getpid()


class RayPool:
    """Actors of a Ray cluster.

    Args:
        address: of the cluster, or "auto" for the one that this machine belongs to; a connection that is open already
            is used as it is.
        num_workers: None is as many as the cluster has room for now.
        gpus_per_worker: share of a GPU, such as 0.25; None is a whole one where the cluster has GPUs.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: no cluster answers, it has no room, or its machines have another version of the library.
    """

    def __init__(
        self, setup: Setup, address: str, *, num_workers: int | None = None, gpus_per_worker: float | None = None
    ) -> None:
        self._ray = connect(address)
        resources = self._ray.cluster_resources()
        gpus = resources.get("GPU", 0.0)
        share = gpus_per_worker if gpus_per_worker is not None else (1.0 if gpus else 0.0)
        room = int(gpus / share + 1e-6) if share else int(resources.get("CPU", 0))
        self.num_workers = num_workers or room
        if not room:
            raise InputError(
                f"The cluster has no room for a worker with {share:g} GPUs; it has {gpus:g} GPUs and "
                f"{resources.get('CPU', 0):g} CPUs."
            )
        self._remote = self._ray.remote(_Actor).options(num_cpus=_EVERY_CPU, num_gpus=share, max_restarts=0)
        self._setup = setup
        self._idle = [self._remote.remote(setup) for _ in range(self.num_workers)]
        self._busy: dict[Any, tuple[Any, Task]] = {}
        try:
            version, _ = self._ray.get(self._idle[0].version.remote())
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"No worker starts on the cluster ({reason}); install Scenewright there.") from error
        if version != scenewright.__version__:
            raise InputError(f"The cluster has Scenewright {version}, this machine {scenewright.__version__}.")

    @property
    def num_idle(self) -> int:
        return len(self._idle)

    @property
    def process_ids(self) -> list[int]:
        """The processes of the idle workers, on their machines."""
        return [self._ray.get(actor.version.remote())[1] for actor in self._idle]

    def submit(self, task: Task) -> None:
        actor = self._idle.pop()
        self._busy[actor.do.remote(task)] = (actor, task)

    def finished(self, timeout_s: float) -> list[tuple[Task, Outcome]]:
        if not self._busy:
            return []
        references = list(self._busy)
        ready, _ = self._ray.wait(references, num_returns=len(references), timeout=0)
        if not ready:
            ready, _ = self._ray.wait(references, num_returns=1, timeout=timeout_s)
        ended = []
        for reference in ready:
            actor, task = self._busy.pop(reference)
            try:
                outcome = self._ray.get(reference)
            except self._ray.exceptions.RayError:
                outcome = died()
            if outcome.is_spoilt:
                self._ray.kill(actor)
                actor = self._remote.remote(self._setup)
            self._idle.append(actor)
            ended.append((task, outcome))
        return ended

    def close(self) -> None:
        for actor in (*self._idle, *(actor for actor, _ in self._busy.values())):
            self._ray.kill(actor)


def connect(address: str, **options: Any) -> Any:
    """Ray, connected to the cluster: it sends nothing to its makers, and starts workers as they are installed there.

    Args:
        options: further ones of `ray.init`.

    Raises:
        MissingExtraError: Ray is not installed.
        InputError: no cluster answers.
    """
    # Ray reads these as it is imported. Without the second, this folder is sent to every worker under `uv run`, which
    # installs its environment anew.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("A batch on a cluster", "cluster") from error
    if not ray.is_initialized():
        try:
            ray.init(address=address, log_to_driver=False, configure_logging=False, **options)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"No Ray cluster answers at '{address}' ({str(error).splitlines()[0]}); start one with "
                "`ray start --head`, or use --cluster local."
            ) from error
    return ray
