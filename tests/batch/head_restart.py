"""The head of a Ray cluster is killed in the middle of a batch, started again, and the same command finishes it.

    uv run python -m tests.batch.head_restart [--scenes 12]

Slow (a minute of a quiet machine), so no part of the test suite. The cluster listens on the loopback address alone and
asks for a token made for this run. Compared: what was done before the kill is kept and not made again; every scene has
the bytes of a plain run; no job is lost.
"""

import argparse
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from tests.batch.manifests import line, write_manifest
from tests.batch.test_run import plain_glb

PORT = "6399"


def environment() -> dict[str, str]:
    token = secrets.token_hex(32)
    return os.environ | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_gcs_rpc_server_reconnect_timeout_s": "5",  # a driver gives up after a minute otherwise
    }


def start_head(variables: dict[str, str], folder: Path) -> subprocess.Popen[bytes]:
    """The head with two CPUs, all its processes in one group, once it answers."""
    ray = str(Path(sys.executable).with_name("ray"))
    words = ("start", "--head", "--block", "--port", PORT, "--node-ip-address", "127.0.0.1", "--num-cpus", "2")
    head = subprocess.Popen(
        [ray, *words, "--include-dashboard", "false", "--disable-usage-stats", "--temp-dir", str(folder)],
        env=variables,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(120):
        asked = subprocess.run([ray, "status", "--address", f"127.0.0.1:{PORT}"], env=variables, capture_output=True)
        if asked.returncode == 0:
            return head
        time.sleep(1)
    raise SystemExit("The head did not start.")


def kill(head: subprocess.Popen[bytes]) -> None:
    processes = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=12)
    scenes = parser.parse_args().scenes
    variables = environment()
    with tempfile.TemporaryDirectory(prefix="head-") as name:
        folder = Path(name)
        manifest = write_manifest(folder / "in", [line(str(seed), seed=seed) for seed in range(scenes)])
        words = ("batch", str(manifest), "-o", str(folder / "out"), "--device", "cpu", "--offline")
        command = [sys.executable, "-m", "scenewright", *words, "--cluster", f"127.0.0.1:{PORT}"]

        def notes() -> dict[str, int]:
            return {path.parent.name: path.stat().st_mtime_ns for path in folder.glob("out/*/job.json")}

        head = start_head(variables, folder / "ray")
        batch = subprocess.Popen(command, env=variables, start_new_session=True)
        while len(notes()) < scenes // 3 and batch.poll() is None:
            time.sleep(0.05)
        kill(head)
        code = batch.wait(timeout=300)
        before = notes()
        print(f"head killed: {len(before)} of {scenes} scenes done, the command ended with exit code {code}")
        assert code not in (0, 2, 3), code
        assert 0 < len(before) < scenes, "the kill came too late; give more --scenes"
        head = start_head(variables, folder / "ray2")
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600)
        kill(head)
        assert done.returncode == 0, done.stderr
        summary = json.loads((folder / "out" / "batch.json").read_text())
        print(f"head started again, the same command: {done.stdout.splitlines()[0]}")
        after = notes()
        assert {key: after[key] for key in before} == before, "what was done is made again"
        assert (summary["made"] + summary["kept"], summary["kept"]) == (scenes, len(before)), summary
        for seed in range(scenes):
            assert (folder / "out" / str(seed) / "scene.glb").read_bytes() == plain_glb(seed)
        print("every scene has the bytes of a plain run")


if __name__ == "__main__":
    main()
