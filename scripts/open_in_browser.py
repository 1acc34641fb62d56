"""Opens GLB files in a page of three.js or model-viewer, in a headless Chromium that draws on the CPU.

    python -m scripts.open_in_browser three OUT_FOLDER FILE...
    python -m scripts.open_in_browser model-viewer OUT_FOLDER FILE...

Prints a line per file with what page and libraries complained of, and keeps its picture as OUT_FOLDER/STEM.png. Needs
`chromium` and `npm` (Debian: apt-get install chromium npm); the libraries are fetched once from the npm registry. All
else is served from this machine.
"""

import base64
import json
import mimetypes
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue

__all__ = ["Seen", "UnavailableError", "open_in_browser"]

_PAGES = Path(__file__).parent / "browser"
_PAGE_OF = {"three": "three.html", "model-viewer": "model_viewer.html"}
# First part of the address -> npm package. MIT, Apache 2.0, MIT.
_PACKAGES = {
    "three": "three@0.187.0",
    "model-viewer": "@google/model-viewer@4.4.0",
    "meshoptimizer": "meshoptimizer@1.3.0",
}
_NEEDED = {"three": ("three",), "model-viewer": ("model-viewer", "meshoptimizer")}
_CACHE = Path(tempfile.gettempdir()) / "scenewright-browser"
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root, as in containers; the page is our own
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--no-first-run",
)


class UnavailableError(Exception):
    """Chromium, npm or the libraries are not to be had here; says which."""


@dataclass(frozen=True)
class Seen:
    """What a page saw of one file.

    `boxes` are lowest and highest corner in glTF's axes: by node with three.js, of the whole as "scene" with
    model-viewer. `complaints` begin with "error: " or "warn: ". `picture` is a PNG; None where nothing was drawn.
    """

    file: str
    boxes: dict[str, list[list[float]]]
    complaints: list[str]
    picture: bytes | None


def open_in_browser(library: str, files: Sequence[Path], *, seconds_per_file: float = 300.0) -> list[Seen]:
    """Opens files of distinct names one after the other in one page of `library` (three, model-viewer).

    Raises:
        UnavailableError: what is needed is not here.
        TimeoutError: the page did not answer in time.
    """
    browser = next(
        (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
    )
    if browser is None:
        raise UnavailableError("Chromium is not installed (Debian: apt-get install chromium)")
    folders = {name: _package(_PACKAGES[name]) for name in _NEEDED[library]}
    reports: Queue[bytes] = Queue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler({file.name: file for file in files}, folders, reports))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            address = f"http://127.0.0.1:{server.server_port}/{_PAGE_OF[library]}"
            words = [browser, *_FLAGS, f"--user-data-dir={profile}", address]
            process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                return [_seen(reports.get(timeout=seconds_per_file)) for _ in files]
            except Empty:
                raise TimeoutError(f"the page of {library} did not answer in {seconds_per_file:.0f} s") from None
            finally:
                process.terminate()
                process.wait()
    finally:
        server.shutdown()
        server.server_close()


def _seen(report: bytes) -> Seen:
    content = json.loads(report)
    picture = content["picture"]
    content["picture"] = None if picture is None else base64.b64decode(picture.partition(",")[2])
    return Seen(**content)


def _package(name: str) -> Path:
    """The folder of an npm package, fetched once."""
    folder = _CACHE / name.replace("/", "-")
    if folder.is_dir():
        return folder
    npm = shutil.which("npm")
    if npm is None:
        raise UnavailableError("npm is not installed")
    _CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as work:
        try:
            packed = subprocess.run(
                [npm, "pack", "--silent", name], cwd=work, capture_output=True, text=True, timeout=120
            )
        except subprocess.TimeoutExpired:
            raise UnavailableError("the npm registry did not answer") from None
        if packed.returncode:
            raise UnavailableError(f"{name} could not be fetched: {packed.stderr.strip()[-200:]}")
        with tarfile.open(Path(work) / packed.stdout.strip().splitlines()[-1]) as archive:
            archive.extractall(work, filter="data")
        # Another process may have been faster.
        if not folder.is_dir():
            (Path(work) / "package").rename(folder)
    return folder


def _handler(
    files: dict[str, Path], packages: dict[str, Path], reports: "Queue[bytes]"
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            head, _, rest = self.path.lstrip("/").partition("/")
            if self.path == "/files.json":
                return self._answer(json.dumps(list(files)).encode(), "application/json")
            path = files.get(rest) if head == "files" else (packages.get(head, _PAGES) / (rest or head))
            if path is None or not path.is_file():
                return self.send_error(404)
            kind = "text/javascript" if path.suffix in (".js", ".cjs") else mimetypes.guess_type(path.name)[0]
            return self._answer(path.read_bytes(), kind or "application/octet-stream")

        def do_POST(self) -> None:
            reports.put(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(b"", "text/plain")

        def _answer(self, content: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *words: object) -> None:
            pass

    return Handler


def main() -> None:
    library, out, *files = sys.argv[1:]
    Path(out).mkdir(parents=True, exist_ok=True)
    for seen in open_in_browser(library, [Path(file) for file in files]):
        print(f"{seen.file}: {len(seen.boxes)} boxes; {'; '.join(seen.complaints) or 'no complaint'}")
        if seen.picture is not None:
            (Path(out) / f"{Path(seen.file).stem}.png").write_bytes(seen.picture)


if __name__ == "__main__":
    main()
