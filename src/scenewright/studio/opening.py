"""A studio from its options: folder, process for jobs, segmenter, server and page."""

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from scenewright.encoders.masks.finding import CUT_OUT, choose_segmenter, open_segmenter
from scenewright.errors import InputError
from scenewright.machine import choose_device
from scenewright.studio.job_process import JobProcess
from scenewright.studio.page import Page
from scenewright.studio.server import StudioServer
from scenewright.studio.session import MOST_UPLOADED, Session
from scenewright.systems.registry import DEFAULT_SYSTEM, find_system

__all__ = ["open_studio"]

_PAGE_FIRST_S = 5.0  # in which the browser has the processors for the page


@contextmanager
def open_studio(
    work: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    tokens: Path | None = None,
    system: str = DEFAULT_SYSTEM,
    segmenter: str | None = None,
    device: str = "auto",
    offline: bool = False,
    source: Path | None = None,
) -> Iterator[StudioServer]:
    """A studio that answers while the block runs.

    Args:
        tokens: a file of who may come in, as of `scenewright serve`; needed for other hosts than loopback ones.
        work: keeps uploads and scenes; None is a temporary folder that is deleted in the end.
        system: chosen at first for pictures with masks.
        segmenter: folder or repository of SAM; None is the one on this machine, or the segmenter that ships.
        source: opened at once.

    Raises:
        ScenewrightError: the folder cannot be written, `source` not be read, or the system takes no masks.
    """
    if find_system(system).reads != "masks":
        raise InputError(f"{system} reads no pictures with masks; --system is for those, other inputs have their own.")
    with tempfile.TemporaryDirectory(prefix="scenewright-studio-") as temporary:
        jobs = JobProcess()
        try:
            jobs.warm_up()
            name = segmenter or choose_segmenter()
            found = open_segmenter(name, device=choose_device(device), offline=offline)
            session = Session(work or Path(temporary), segmenter=found, jobs=jobs, device=device, offline=offline)
            if source is not None:
                session.open(source)
            server = StudioServer(host, port, tokens=tokens, most_uploaded=MOST_UPLOADED)
            try:
                shown = "U2-Net and GrabCut" if name == CUT_OUT else "SAM"
                Page(server, session, jobs.cancel, segmenter=shown, system=find_system(system).name)
                server.on_client_connect(lambda client: _later(session.warm_up))
                yield server
            finally:
                server.stop()
        finally:
            jobs.close()


def _later(action: Callable[[], None]) -> None:
    timer = threading.Timer(_PAGE_FIRST_S, action)
    timer.daemon = True
    timer.start()
