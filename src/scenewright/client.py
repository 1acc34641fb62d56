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
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from scenewright.errors import InputError, ScenewrightError
from scenewright.files import reason_of
from scenewright.io.atomic import atomic_path

__all__ = ["Client", "JobFailedError", "ServiceError"]

Job = dict[str, Any]
_FINISHED = ("done", "failed", "cancelled")
_PAUSE_S = 1.0
_FIELDS_OF_EVENTS = ("event:", "data:", "id:", "retry:", ":")


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

    Raises:
        InputError: the address or the token can be none.
    """

    def __init__(
        self,
        address: str = "http://127.0.0.1:8000",
        token: str | None = None,
        *,
        timeout_s: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {} if token is None else {"Authorization": f"Bearer {_checked_token(token)}"}
        self._timeout_s = timeout_s
        # Environment variables that name proxies are for the internet, not for a service of one's own.
        self._http = httpx.Client(
            base_url=_checked_address(address), headers=headers, timeout=timeout_s, transport=transport, trust_env=False
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
        return self._json("POST", _place(job_id, "reroll"), **_body({"names": names}))

    def edit(
        self, job_id: str, steps: Sequence[dict[str, Any]] = (), *, undo: int = 0, models: Sequence[str | Path] = ()
    ) -> Job:
        """Changes a scene step by step, as in `{"action": "move", "name": "sofa", "values": [0.5, 0, 0]}`.

        Args:
            models: files that steps of swapping count from 0: `{"action": "swap", "name": "sofa", "model": 0}`.
        """
        options = {"steps": list(steps), "undo": undo}
        return self._submit(_place(job_id, "edit"), {"models": [Path(path) for path in models]}, options)

    def export(self, job_id: str, format: str, **options: Any) -> Job:
        """Writes a scene in another format; returns the new job. Options are fields of ExportRequest."""
        return self._json("POST", _place(job_id, "export"), **_body({"format": format} | options))

    def job(self, job_id: str) -> Job:
        """The job as it stands."""
        return self._json("GET", _place(job_id))

    def jobs(self, most: int = 50) -> list[Job]:
        """The last jobs, the newest first."""
        found: list[Job] = self._json("GET", "/jobs", list, params={"most": most})
        return found

    def cancel(self, job_id: str) -> Job:
        """Ends a job that is not finished."""
        return self._json("POST", _place(job_id, "cancel"))

    def delete(self, job_id: str) -> None:
        """Takes a job away, with its files."""
        self._json("DELETE", _place(job_id))

    def catalogue(self) -> dict[str, Any]:
        """Systems, formats, profiles and programs of the service."""
        return self._json("GET", "/catalogue")

    def events(self, job_id: str) -> Iterator[Job]:
        """The job at each of its changes, the last time when it is finished."""
        return (job for job in self._events(job_id, self._timeout_s) if job is not None)

    def _events(self, job_id: str, timeout_s: float) -> Iterator[Job | None]:
        """The job at each of its changes, and None for each sign that the service still lives."""
        with self._stream(_place(job_id, "events"), timeout_s) as response:
            for line in response.iter_lines():
                if line and not line.startswith(_FIELDS_OF_EVENTS):
                    raise _no_service(response)
                job = _parsed(line.removeprefix("data:"), response) if line.startswith("data:") else None
                if job is not None and not (isinstance(job, dict) and "state" in job):
                    raise _no_service(response)
                yield job

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
                left_s = self._timeout_s if end is None else max(0.1, end - time.monotonic())
                for job in self._events(job_id, min(left_s, self._timeout_s)):
                    if job is not None:
                        progress(job)
                        if job["state"] == "done":
                            return job
                        if job["state"] in _FINISHED:
                            reason = job.get("error") or "no reason given"
                            raise JobFailedError(f"The job {job_id} {job['state']}: {reason}")
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
        place = _place(job_id, "result") if file is None else _place(job_id, f"files/{file}")
        with (
            self._stream(place, self._timeout_s) as response,
            atomic_path(target) as temporary,
            temporary.open("wb") as written,
        ):
            for piece in response.iter_bytes():
                written.write(piece)
        return Path(target)

    @contextmanager
    def _stream(self, place: str, timeout_s: float) -> Iterator[httpx.Response]:
        """The answer to a request, before its body is read."""
        with _reached(), self._http.stream("GET", place, timeout=timeout_s) as response:
            if response.status_code != 200:
                response.read()
                raise _refusal(response)
            if response.headers.get("content-type", "").startswith("text/html"):  # of a proxy that asks who is there
                raise _no_service(response)
            yield response

    def _submit(self, place: str, files: dict[str, list[Path]], options: dict[str, Any]) -> Job:
        with ExitStack() as stack:
            # The options stand among the files, so that a form without any is sent as one, too.
            parts: list[tuple[str, Any]] = [("options", (None, _json_of(options)))]
            for name, paths in files.items():
                for path in paths:
                    # Names of files stay here; the service gives its own.
                    content = stack.enter_context(_opened(path))
                    parts.append((name, (name, content, "application/octet-stream")))
            return self._json("POST", place, files=parts, timeout=None)

    def _json(self, method: str, place: str, kind: type = dict, **options: Any) -> Any:
        with _reached():
            response = self._http.request(method, place, **options)
        if not response.is_success:
            raise _refusal(response)
        found = _parsed(response.content, response)
        if not isinstance(found, kind):
            raise _no_service(response)
        return found


def _checked_address(address: str) -> httpx.URL:
    try:
        url = httpx.URL(address)
    except (httpx.InvalidURL, TypeError):
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host:
        raise InputError(f"Expected the address of a service, such as http://127.0.0.1:8000, got '{address}'.")
    return url


def _checked_token(token: str) -> str:
    """The token without the end of its line."""
    token = token.strip()
    if not token or not all("!" <= letter <= "~" for letter in token):  # it is not repeated here
        raise InputError("Expected a token as in the service's file of tokens: plain characters without spaces.")
    return token


def _place(job_id: str, part: str = "") -> str:
    """The path of a job, or of a part of it; whatever it is called, it is no other path."""
    names = quote(str(job_id), safe="", errors="replace"), quote(part, errors="replace")
    return "/jobs/" + "/".join(filter(None, names))


def _json_of(options: dict[str, Any]) -> str:
    try:
        return json.dumps(options, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"The options cannot be sent as JSON: {error}.") from error


def _body(options: dict[str, Any]) -> dict[str, Any]:
    return {"content": _json_of(options), "headers": {"Content-Type": "application/json"}}


def _paths(given: str | Path | Sequence[str | Path] | None) -> list[Path]:
    if given is None:
        return []
    return [Path(given)] if isinstance(given, str | Path) else [Path(path) for path in given]


def _opened(path: Path) -> io.BufferedReader | io.BytesIO:
    """A file, or a .zip of a folder."""
    try:
        return io.BytesIO(_packed(path)) if path.is_dir() else path.open("rb")
    except UnicodeEncodeError as error:
        raise InputError(f"A file in '{path}' has a name that no .zip can hold; rename it.") from error
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"'{getattr(error, 'filename', None) or path}' cannot be read: {reason_of(error)}.") from error


def _packed(folder: Path) -> bytes:
    """A .zip of a folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if not paths:
        raise InputError(f"The folder '{folder}' holds no files.")
    content = io.BytesIO()
    # Dates that a .zip cannot hold, such as 1970, are no reason to refuse a file.
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
        for path in paths:
            archive.write(path, path.relative_to(folder).as_posix())
    return content.getvalue()


def _parsed(content: bytes | str, response: httpx.Response) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _no_service(response) from error


def _refusal(response: httpx.Response) -> ServiceError:
    if target := response.headers.get("location", "") if response.is_redirect else "":
        sentence = f"The service is elsewhere, at '{target[:200]}'; give the address that it has there."
        return ServiceError(sentence, response.status_code)
    try:
        sentence = str(response.json()["detail"])
    except (ValueError, KeyError, TypeError, RecursionError):
        text = response.text.strip()
        sentence = (
            text[:200] if text and not text.startswith("<") else f"{response.status_code} {response.reason_phrase}"
        )
    return ServiceError(sentence, response.status_code)


def _no_service(response: httpx.Response) -> ServiceError:
    url = response.request.url
    place = f"{url.scheme}://{url.netloc.decode('ascii', 'replace')}"
    return ServiceError(
        f"What answers at {place} is no service of Scenewright; check the address.", response.status_code
    )


@contextmanager
def _reached() -> Iterator[None]:
    """Errors of the connection as one sentence."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise ServiceError(f"The service cannot be reached ({reason}).") from error
