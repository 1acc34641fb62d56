"""A client of `scenewright serve`.

    with Client("http://127.0.0.1:8000") as client:
        job = client.generate("room.jpg", masks="masks.png", seed=3)
        job = client.wait(job["id"], progress=lambda now: print(now["stage"]))
        client.download(job["id"], "room.glb")
        usd = client.wait(client.export(job["id"], "usdz")["id"])
        client.download(usd["id"], "room.usdz")

Jobs are the JSON of the service, as dicts; see `GET /docs` of a running one. Masks may be files, a folder of them, or
"auto". Nothing but the files named here leaves this machine.
"""

import io
import json
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from scenewright.errors import InputError, ScenewrightError
from scenewright.io.atomic import atomic_path

__all__ = ["Client", "JobFailedError", "ServiceError"]

Job = dict[str, Any]
_FINISHED = ("done", "failed", "cancelled")
_PAUSE_S = 1.0


class ServiceError(ScenewrightError):
    """The service refused a request, or cannot be reached; `status` is that of HTTP, or None."""

    def __init__(self, sentence: str, status: int | None = None) -> None:
        super().__init__(sentence)
        self.status = status


class JobFailedError(ScenewrightError):
    """A job ended without a result; the message is its reason."""


class Client:
    """A connection to a service.

    Args:
        address: of the service, such as "http://127.0.0.1:8000".
        token: where the service asks for one.
        timeout_s: of each request, without the time that uploads take.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        token: str | None = None,
        *,
        timeout_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        # Environment variables that name proxies are for the internet, not for a service of one's own.
        self._http = httpx.Client(
            base_url=address, headers=headers, timeout=timeout_s, transport=transport, trust_env=False
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; jobs go on."""
        self._http.close()

    def generate(
        self,
        pictures: str | Path | Sequence[str | Path],
        masks: str | Path | Sequence[str | Path] | None = None,
        *,
        camera: str | Path | None = None,
        depth: str | Path | None = None,
        **options: Any,
    ) -> Job:
        """Submits a scene from pictures with masks or prompts, or from a panorama; returns the job.

        Args:
            masks: one file, several, a folder, or "auto"; None with `prompts=` or for a panorama.
            options: fields of GenerateRequest, such as `system`, `seed` or `prompts`.

        Raises:
            ServiceError: the service refuses it.
        """
        if masks == "auto":
            masks, options = None, options | {"auto_masks": True}
        files = {
            "pictures": _paths(pictures),
            "masks": _paths(masks),
            "camera": _paths(camera),
            "depth": _paths(depth),
        }
        return self._submit("/jobs/generate", files, options)

    def capture(self, capture: str | Path, masks: str | Path | None = None, **options: Any) -> Job:
        """Submits a scene from a capture: a folder, which is packed here, or a .zip of one; returns the job.

        Raises:
            ServiceError: the service refuses it.
        """
        if masks == "auto":
            masks, options = None, options | {"auto_masks": True}
        return self._submit("/jobs/capture", {"archive": [Path(capture)], "masks": _paths(masks)}, options)

    def reroll(self, job_id: str, *names: str) -> Job:
        """Makes objects of a scene anew; returns the new job."""
        return self._json("POST", f"/jobs/{job_id}/reroll", json={"names": names})

    def edit(
        self, job_id: str, steps: Sequence[dict[str, Any]] = (), *, undo: int = 0, models: Sequence[str | Path] = ()
    ) -> Job:
        """Changes a scene step by step, as in `{"action": "move", "name": "sofa", "values": [0.5, 0, 0]}`.

        Args:
            models: files that steps of swapping count from 0: `{"action": "swap", "name": "sofa", "model": 0}`.
        """
        options = {"steps": list(steps), "undo": undo}
        return self._submit(f"/jobs/{job_id}/edit", {"models": [Path(path) for path in models]}, options)

    def export(self, job_id: str, format: str, **options: Any) -> Job:
        """Writes a scene in another format; returns the new job. Options are fields of ExportRequest."""
        return self._json("POST", f"/jobs/{job_id}/export", json={"format": format} | options)

    def job(self, job_id: str) -> Job:
        """The job as it stands."""
        return self._json("GET", f"/jobs/{job_id}")

    def jobs(self, most: int = 50) -> list[Job]:
        """The last jobs, the newest first."""
        found: list[Job] = self._json("GET", "/jobs", params={"most": most})
        return found

    def cancel(self, job_id: str) -> Job:
        """Ends a job that is not finished."""
        return self._json("POST", f"/jobs/{job_id}/cancel")

    def delete(self, job_id: str) -> None:
        """Takes a job away, with its files."""
        self._json("DELETE", f"/jobs/{job_id}")

    def catalogue(self) -> dict[str, Any]:
        """Systems, formats, profiles and programs of the service."""
        return self._json("GET", "/catalogue")

    def events(self, job_id: str) -> Iterator[Job]:
        """The job at each of its changes, the last time when it is finished."""
        try:
            with self._http.stream("GET", f"/jobs/{job_id}/events") as response:
                if response.is_error:
                    response.read()
                    raise _refusal(response)
                for line in response.iter_lines():
                    if line.startswith("data: ") and (job := json.loads(line.removeprefix("data: "))) is not None:
                        yield job
        except httpx.HTTPError as error:
            raise _unreachable(error) from error

    def wait(
        self, job_id: str, *, timeout_s: float | None = None, progress: Callable[[Job], None] = lambda job: None
    ) -> Job:
        """The job once it is done; a server that is started again meanwhile is waited for.

        Raises:
            JobFailedError: it failed or was cancelled.
            ServiceError: there is no such job, or `timeout_s` seconds are over.
        """
        end = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            try:
                for job in self.events(job_id):
                    progress(job)
                    if job["state"] == "done":
                        return job
                    if job["state"] in _FINISHED:
                        raise JobFailedError(f"The job {job_id} {job['state']}: {job['error'] or 'no reason given'}")
                    if end is not None and time.monotonic() > end:
                        break
            except ServiceError as error:
                if error.status is not None and error.status not in (429, 502, 503, 504):
                    raise
            if end is not None and time.monotonic() > end:
                raise ServiceError(f"The job {job_id} is not finished after {timeout_s:g} s.")
            time.sleep(_PAUSE_S)

    def download(self, job_id: str, target: str | Path, file: str | None = None) -> Path:
        """Writes the result of a job, or one of its files, to `target`; returns the path.

        Raises:
            ServiceError: the job is not done.
            InputError: the file cannot be written.
        """
        place = f"/jobs/{job_id}/result" if file is None else f"/jobs/{job_id}/files/{file}"
        try:
            with self._http.stream("GET", place) as response:
                if response.is_error:
                    response.read()
                    raise _refusal(response)
                with atomic_path(target) as temporary, temporary.open("wb") as written:
                    for piece in response.iter_bytes():
                        written.write(piece)
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        return Path(target)

    def _submit(self, place: str, files: dict[str, list[Path]], options: dict[str, Any]) -> Job:
        with ExitStack() as stack:
            # The options stand among the files, so that a form without any is sent as one, too.
            parts: list[tuple[str, Any]] = [("options", (None, json.dumps(options)))]
            for name, paths in files.items():
                for path in paths:
                    # Names of files stay here; the service gives its own.
                    content = io.BytesIO(_packed(path)) if path.is_dir() else stack.enter_context(_opened(path))
                    parts.append((name, (name, content, "application/octet-stream")))
            return self._json("POST", place, files=parts, timeout=None)

    def _json(self, method: str, place: str, **options: Any) -> Any:
        try:
            response = self._http.request(method, place, **options)
        except httpx.HTTPError as error:
            raise _unreachable(error) from error
        if response.is_error:
            raise _refusal(response)
        return response.json()


def _paths(given: str | Path | Sequence[str | Path] | None) -> list[Path]:
    if given is None:
        return []
    return [Path(given)] if isinstance(given, str | Path) else [Path(path) for path in given]


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror or error}.") from error


def _packed(folder: Path) -> bytes:
    """A .zip of a folder."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(folder).as_posix())
    return content.getvalue()


def _refusal(response: httpx.Response) -> ServiceError:
    try:
        sentence = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        sentence = response.text[:200] or response.reason_phrase
    return ServiceError(sentence, response.status_code)


def _unreachable(error: httpx.HTTPError) -> ServiceError:
    return ServiceError(f"The service cannot be reached ({str(error) or type(error).__name__}).")
