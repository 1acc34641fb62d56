"""Numbers for Prometheus: jobs by state, running time, workers and their memory, requests by status."""

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scenewright.serve.service import Service

__all__ = ["Metrics"]


class Metrics:
    """The metrics of one service; `count` takes the status of each response."""

    def __init__(self, service: Service) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "scenewright_http_responses", "Responses by status.", ["status"], registry=self._registry
        )
        self._registry.register(_Jobs(service))

    def count(self, status: int) -> None:
        self._requests.labels(str(status)).inc()

    def text(self) -> bytes:
        """In the text form of Prometheus."""
        return generate_latest(self._registry)


class _Jobs(Collector):
    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        service = self._service
        states = GaugeMetricFamily("scenewright_jobs", "Jobs that are kept, by state.", labels=["state"])
        for state, jobs in service.queue.counts().items():
            states.add_metric([state], jobs)
        yield states
        finished = CounterMetricFamily("scenewright_jobs_finished", "Jobs that ended.", labels=["kind", "state"])
        seconds = CounterMetricFamily("scenewright_job_seconds", "Seconds that they ran.", labels=["kind", "state"])
        for kind, state, jobs, running_s in service.queue.totals():
            finished.add_metric([kind, state], jobs)
            seconds.add_metric([kind, state], running_s)
        yield finished
        yield seconds
        yield GaugeMetricFamily("scenewright_workers", "Workers that should run.", value=service.num_workers)
        yield GaugeMetricFamily("scenewright_workers_alive", "Workers that run.", value=service.supervisor.num_alive)
        memory = GaugeMetricFamily("scenewright_worker_memory_bytes", "Memory of a worker.", labels=["worker"])
        for name, process in service.supervisor.processes.items():
            if (size := _memory_bytes(process)) is not None:
                memory.add_metric([name], size)
        yield memory


def _memory_bytes(process: int) -> int | None:
    """Resident memory of a process; None where the system does not say."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:")), None)
