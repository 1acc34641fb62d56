"""A server in a process of its own, to be asked, killed and started again."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType

from scenewright.client import Client
from scenewright.serve.folders import Folders
from scenewright.serve.job_queue import JobQueue

_COMMAND = [sys.executable, "-c", "from scenewright.cli import main; main()", "serve", "--port", "0"]
TOKENS = {"ann": "a" * 32, "bob": "b" * 32}


class Server:
    """`scenewright serve` on a free port, with tokens of two clients, its data in `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folders = Folders(folder / "data")
        tokens = folder / "tokens"
        tokens.write_text("".join(f"{name} {token}\n" for name, token in TOKENS.items()))
        tokens.chmod(0o600)
        self._options = ["--data", str(self.folders.data), "--tokens", str(tokens), "--device", "cpu", *options]
        self.address = ""
        self.start()

    def __enter__(self) -> "Server":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        self.process.wait(60)

    def start(self) -> None:
        """Starts it, or starts it again; the port may be another one."""
        # Inherited limits of threads make every test process one of a single thread.
        self.process = subprocess.Popen([*_COMMAND, *self._options], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        found = re.match(r"(http://\S+)/docs", self.process.stdout.readline())
        assert found is not None, f"the server did not start: {self.process.wait()}"
        self.address = found[1]

    def kill(self) -> None:
        """As the system does when memory runs out."""
        self.process.kill()
        self.process.wait()

    def workers(self) -> list[int]:
        """Numbers of the processes that do the jobs."""
        found = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():  # it is a thread of the server that starts them
            for child in (task / "children").read_text().split():
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.append(int(child))
        return found

    def kill_worker(self) -> None:
        """Kills the processes that do the jobs."""
        for process in self.workers():
            os.kill(process, signal.SIGKILL)

    def client(self, name: str = "ann") -> Client:
        return Client(self.address, TOKENS[name])

    @property
    def queue(self) -> JobQueue:
        return JobQueue(self.folders.database)
