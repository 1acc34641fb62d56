"""The service: what it adds to a job, many small jobs from many clients, and kills at random moments.

    uv run python -m benchmarks service --parts overhead --repeats 3   # a job of mini's: the plain call beside it
    uv run python -m benchmarks service --parts load --jobs 200 --clients 20
    uv run python -m benchmarks service --parts kills --times 20 --seed 1

Overhead: the same jobs are done by `run_job` in a process with a resident system and by a service, one after the other
in turns, so that both meet the same machine. Seconds are those by the clock from the call to the last byte of the
scene; a worker has the same number of threads as the plain call.
"""

import json
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.serve.server import TOKENS, Server

from benchmarks.measure import Report
from scenewright.client import Client
from scenewright.runs.job import GenerateJob, run_job
from scenewright.runs.manifest import GenerateSettings
from scenewright.runs.resident import ResidentSystems

PICTURES = Path(__file__).parents[1] / "tests" / "data" / "replay"
PICTURE, MASKS = PICTURES / "picture.png", PICTURES / "masks.png"


def plain(systems: ResidentSystems, system: str, seed: int, folder: Path) -> float:
    """Seconds of one job without a service."""
    begin = time.perf_counter()
    settings = GenerateSettings(str(PICTURE), (str(MASKS),), system, seed=seed, offline=True)
    run_job(GenerateJob(settings), folder / f"plain_{seed}", systems=systems)
    return time.perf_counter() - begin


def served(client: Client, system: str, seed: int, folder: Path) -> tuple[float, float]:
    """Seconds of the same with one, and those that its worker needed."""
    begin = time.perf_counter()
    job = client.wait(client.generate(PICTURE, MASKS, system=system, seed=seed)["id"])
    client.download(job["id"], folder / f"served_{seed}.glb")
    return time.perf_counter() - begin, job["finished"] - job["started"]


def overhead(report: Report, system: str, jobs: int) -> None:
    systems = ResidentSystems()
    with tempfile.TemporaryDirectory() as name, Server(Path(name)) as server, server.client() as client:
        folder = Path(name)
        plain(systems, system, 0, folder)  # loads
        served(client, system, 0, folder)
        alone, through, working = [], [], []
        report.table("seed", "plain s", "served s", "in the worker s", "bytes")
        for seed in range(1, jobs + 1):
            alone.append(plain(systems, system, seed, folder))
            whole, inside = served(client, system, seed, folder)
            through.append(whole)
            working.append(inside)
            same = (folder / f"plain_{seed}" / "scene.glb").read_bytes() == (folder / f"served_{seed}.glb").read_bytes()
            times = (f"{taken[-1]:.2f}" for taken in (alone, through, working))
            report.row(seed, *times, "the same" if same else "OTHER")
        added = statistics.median(whole - inside for whole, inside in zip(through, working, strict=True))
        share = added / statistics.median(alone)
        report(f"\nOutside of the worker {added:.2f} s, {100 * share:.1f} % of the plain call of {system}.")
        report.ratio("outside of the worker / 5 % of the plain call", share / 0.05)


def load(report: Report, jobs: int, clients: int) -> None:
    """So many small jobs at once: none lost, each client in turn, memory flat."""
    tokens = {f"client{number}": f"{number:032d}" for number in range(clients)}
    TOKENS.update(tokens)
    with tempfile.TemporaryDirectory() as name, Server(Path(name)) as server:
        with server.client("client0") as first:  # the worker has loaded what it needs
            first.wait(first.generate(PICTURE, MASKS, system="cuboid", seed=10**6)["id"])
        memory = [memory_of(server)]
        latency: dict[str, float] = {}
        failures: list[str] = []
        accepted: list[float] = []

        def one_client(number: int) -> None:
            with server.client(f"client{number}") as client:
                try:
                    ids = []
                    for seed in range(jobs // clients):
                        begin = time.perf_counter()
                        job = client.generate(PICTURE, MASKS, system="cuboid", seed=seed * clients + number)
                        accepted.append(time.perf_counter() - begin)
                        ids.append(job["id"])
                    for job_id in ids:
                        job = client.wait(job_id)
                        latency[job_id] = job["finished"] - job["submitted"]
                except Exception as error:
                    failures.append(f"client{number}: {error}")

        threads = [threading.Thread(target=one_client, args=(number,)) for number in range(clients)]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(2)
            memory.append(memory_of(server))
        wall = time.perf_counter() - begin
        order = []
        for client_name in tokens:
            with server.client(client_name) as client:
                order += [(job["started"], client_name) for job in client.jobs(200) if job["id"] in latency]
        report(f"\n{len(latency)} of {jobs // clients * clients} jobs done in {wall:.0f} s, {len(failures)} failures.")
        for line in failures[:5]:
            report(line)
        report.table("", "p50 s", "p90 s", "p99 s", "most s")
        report.row("accepted after", *percentiles(accepted))
        report.row("finished after", *percentiles(list(latency.values())))
        report(f"\nJobs ahead of its turn, at most: {unfairness([client for _, client in sorted(order)])}.")
        report.table("resident MB", "first", "middle", "last", "most")
        for part in ("server", "worker"):
            sizes = [entry[part] for entry in memory if part in entry]
            report.row(part, *(f"{s:.0f}" for s in (sizes[0], sizes[len(sizes) // 2], sizes[-1], max(sizes))))
            report.ratio(f"{part}: memory at the end / in the middle", sizes[-1] / sizes[len(sizes) // 2])


def unfairness(order: Sequence[str]) -> int:
    """The most jobs by which one client was ahead of another that still had some waiting."""
    total = {client: order.count(client) for client in set(order)}
    begun = dict.fromkeys(total, 0)
    worst = 0
    for client in order:
        begun[client] += 1
        waiting = [begun[other] for other in total if begun[other] < total[other]]
        worst = max(worst, begun[client] - min(waiting, default=begun[client]))
    return worst


def percentiles(values: Sequence[float]) -> list[str]:
    """The 50th, 90th and 99th, and the most."""
    ordered = sorted(values)
    at = [ordered[min(len(ordered) - 1, share * len(ordered) // 100)] for share in (50, 90, 99)]
    return [f"{value:.2f}" for value in (*at, ordered[-1])]


def memory_of(server: Server) -> dict[str, float]:
    """Resident megabytes of the server and of its worker."""
    sizes = {"server": resident_mb(server.process.pid)}
    for worker in server.workers():
        sizes["worker"] = resident_mb(worker)
    return sizes


def resident_mb(process: int) -> float:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:")), 0.0)


def kills(report: Report, count: int, seed: int, system: str) -> None:
    """Kills the server or a worker at random moments while jobs run; in the end each is done once."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as name, Server(Path(name)) as server:
        ids: list[str] = []
        keys: set[str] = set()
        for number in range(count):
            with server.client() as client:
                for job_seed in range(2 * number, 2 * number + 2):
                    job = client.generate(PICTURE, MASKS, system=system, seed=job_seed)
                    ids.append(job["id"])
                    keys.add(job["key"])
            if chance.random() < 0.7:  # in the middle of work; else whatever goes on, such as a start
                wait_for_done(server, chance.randint(1, 2))
            time.sleep(chance.uniform(0.0, 3.0))
            kind = chance.choice(["server", "worker", "both"])
            if kind in ("worker", "both"):
                server.kill_worker()
            if kind in ("server", "both"):
                server.kill()
            check(server, ids, kind, number)
            if kind in ("server", "both"):
                server.start()
        with server.client() as client:
            made = [client.wait(job_id, timeout_s=1200) for job_id in ids]
        done = sum(total[2] for total in server.queue.totals() if total[1] == "done")
        scenes = {(server.folders.result(job["id"]) / "scene.glb").is_file() for job in made}
        report(
            f"\n{count} kills: {len(made)} jobs of {len(keys)} keys, {done} done by the queue's count,"
            f" all files there: {scenes == {True}}, most attempts {max(job['attempts'] for job in made)}."
        )
        assert done == len(ids) == len(keys)


def wait_for_done(server: Server, more: int) -> None:
    """Until so many more jobs are done, or nothing is left to do."""
    begun = server.queue.counts()
    while (now := server.queue.counts()).get("done", 0) < begun.get("done", 0) + more and now.keys() != {"done"}:
        time.sleep(0.01)


def check(server: Server, ids: Sequence[str], kind: str, number: int) -> None:
    """The queue as a kill left it: the database whole, every accepted job in it once, done ones with their files."""
    with sqlite3.connect(server.folders.database) as database:
        assert database.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        rows = database.execute("SELECT id, state, files FROM jobs").fetchall()
    assert sorted(row[0] for row in rows) == sorted(ids)
    for job_id, state, files in rows:
        assert state in ("queued", "running", "done"), (job_id, state)
        if state == "done":
            assert all((server.folders.result(job_id) / file).is_file() for file in json.loads(files))
    states = [row[1] for row in rows]
    counts = {state: states.count(state) for state in sorted(set(states))}
    print(f"kill {number + 1} of {kind}: whole, {counts}", flush=True)


PARTS = ("overhead", "load", "kills")
QUICK = {"system": "cuboid", "repeats": 1, "jobs": 1, "clients": 1, "times": 1}


def section(
    report: Report,
    *,
    parts: tuple[str, ...] = PARTS,
    system: str = "scenegen",
    repeats: int = 3,
    jobs: int = 200,
    clients: int = 20,
    times: int = 20,
    seed: int = 0,
) -> None:
    """Prints the tables of the parts; `system` and `repeats` are those of the overhead."""
    if "overhead" in parts:
        overhead(report, system, repeats)
    if "load" in parts:
        load(report, jobs, clients)
    if "kills" in parts:
        kills(report, times, seed, "cuboid")
