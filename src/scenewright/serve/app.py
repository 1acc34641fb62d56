"""The endpoints: submit, look, wait, fetch, change, cancel, delete. Every answer that is no file is JSON.

Whoever asks sees own jobs only; a job of somebody else is as if it were not there.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, File, Form, HTTPException, Request, Response, Security, UploadFile
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException as AnyHTTPException

from scenewright import __version__
from scenewright.errors import InputError
from scenewright.serve.bundle import bundled
from scenewright.serve.folders import ID
from scenewright.serve.guards import App, Guard
from scenewright.serve.job_queue import FINISHED, JobRecord, QueueFullError, State
from scenewright.serve.metrics import Metrics
from scenewright.serve.reading import Request as JobRequest
from scenewright.serve.requests import CaptureRequest, EditRequest, ExportRequest, GenerateRequest, RerollRequest
from scenewright.serve.service import Service

__all__ = ["JobView", "guarded_app"]

_POLL_S = 0.3
_STREAM_S = 900.0
_SILENCE_S = 15.0
_MOST_LISTED = 200
_SENT_ONCE = ("options", "archive", "camera", "depth")


class JobView(BaseModel):
    """A job as its client sees it; times are seconds since 1970, `facts` hold objects, warnings and timings."""

    id: str
    kind: Literal["generate", "capture", "reroll", "edit", "export"]
    state: State
    key: str
    parent: str | None
    attempts: int
    stage: str
    done: int
    total: int
    files: list[str]
    facts: dict[str, Any]
    error: str | None
    submitted: float
    started: float | None
    finished: float | None


class Sentence(BaseModel):
    """A refusal: the cause and the way out."""

    detail: str


class Health(BaseModel):
    status: Literal["ok", "degraded"]
    version: str
    workers: int
    workers_alive: int


class Deleted(BaseModel):
    deleted: str


class CatalogueView(BaseModel):
    """Systems with what they read, formats with what they hold, and names of profiles and programs for exports."""

    systems: list[dict[str, Any]]
    formats: list[dict[str, Any]]
    profiles: list[str]
    programs: list[str]


_Id = Annotated[str, PathParameter(pattern=f"^{ID.pattern}$")]
_Uploads = Annotated[list[UploadFile] | None, File()]
_Options = Annotated[str, Form(description="JSON of the schema that is named above.")]
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": Sentence, "description": reason}
    for status, reason in {
        400: "The body cannot be read",
        401: "No known token",
        403: "A page of another site",
        408: "Too slow",
        413: "Too large",
        421: "Another name of this machine",
        422: "The request cannot be used",
        429: "A limit is reached",
    }.items()
}
_NO_JOB: dict[int | str, dict[str, Any]] = {404: {"model": Sentence, "description": "No such job of yours"}}
_NOT_DONE: dict[int | str, dict[str, Any]] = {409: {"model": Sentence, "description": "The job is not done"}}
# Tools that know such streams hold each event against it.
_EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["progress", "end"]},
        "data": {"type": "string", "description": "A JobView as JSON, or null for a job that is gone."},
    },
    "required": ["event", "data"],
}
_BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}},
    416: {"model": Sentence, "description": "The file has no such range"},
}
# In place of a framework's words.
_SENTENCES = {
    "There was an error parsing the body": "The body cannot be read; send JSON or a form, as /docs shows.",
    "Not Found": "There is nothing at this place; /docs lists all that there is.",
    "Method Not Allowed": "This place does not take that method; /docs lists those that it takes.",
}


def guarded_app(service: Service) -> App:
    """The application of a service behind its guard; it starts and stops the service with the server."""
    metrics = Metrics(service)
    return Guard(_app(service, metrics), service.tokens, service.limits, metrics.count)


def _app(service: Service, metrics: Metrics) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await asyncio.to_thread(service.start)
        yield
        await asyncio.to_thread(service.stop)

    app = FastAPIOffline(
        redoc_url=None,
        redirect_slashes=False,  # it would send clients to the host that they name
        title="Scenewright",
        version=__version__,
        description="Pictures of a place in, 3D scenes of separate objects out.",
        lifespan=lifespan,
        responses=_PROBLEMS,
        dependencies=[Security(HTTPBearer(auto_error=False))],
    )
    _add_answers(app)
    _add_jobs(app, service)
    _add_changes(app, service)
    _add_results(app, service)
    _add_facts(app, service, metrics)
    _add_schemas(app)
    return app


def _add_schemas(app: FastAPI) -> None:
    """The forms of `options`, which travel as JSON in a field, among the schemas."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        schema = described()
        known = schema["components"]["schemas"]
        for kind in (GenerateRequest, CaptureRequest, EditRequest):
            own = kind.model_json_schema(ref_template="#/components/schemas/{model}")
            known.update(own.pop("$defs", {}))
            known[kind.__name__] = own
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def _add_answers(app: FastAPI) -> None:
    """Errors as one sentence each."""

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return _sentence(422, _first_problem(error.errors()))

    @app.exception_handler(InputError)
    async def unusable(request: Request, error: InputError) -> JSONResponse:
        return _sentence(422, str(error))

    @app.exception_handler(AnyHTTPException)
    async def refused(request: Request, error: AnyHTTPException) -> JSONResponse:
        sentence = _SENTENCES.get(error.detail, error.detail)
        return JSONResponse({"detail": sentence}, error.status_code, error.headers)

    @app.exception_handler(QueueFullError)
    async def full(request: Request, error: QueueFullError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 429, {"Retry-After": "30"})


def _add_jobs(app: FastAPI, service: Service) -> None:
    @app.post("/jobs/generate", status_code=202, dependencies=[_fields("pictures", "masks", "camera", "depth")])
    def generate(
        request: Request,
        response: Response,
        pictures: Annotated[list[UploadFile], File()],
        masks: _Uploads = None,
        camera: Annotated[UploadFile | None, File()] = None,
        depth: Annotated[UploadFile | None, File()] = None,
        options: _Options = "{}",
    ) -> JobView:
        """A scene from pictures with masks (a label picture, a picture per object, a .zip, COCO, LabelMe, CVAT, .npy),
        with prompts, or from a panorama. `options`: GenerateRequest."""
        files = {"pictures": pictures, "masks": masks or [], "camera": _one(camera), "depth": _one(depth)}
        return _submitted(service, request, response, _parsed(options, GenerateRequest), files)

    @app.post("/jobs/capture", status_code=202, dependencies=[_fields("archive", "masks")])
    def capture(
        request: Request,
        response: Response,
        archive: Annotated[UploadFile, File(description="A .zip of a capture folder.")],
        masks: _Uploads = None,
        options: _Options = "{}",
    ) -> JobView:
        """A scene from many pictures of one place. `options`: CaptureRequest."""
        files = {"archive": [archive], "masks": masks or []}
        return _submitted(service, request, response, _parsed(options, CaptureRequest), files)

    @app.get("/jobs")
    def jobs(request: Request, most: int = 50) -> list[JobView]:
        """Your last jobs, the newest first, at most 200."""
        found = service.queue.newest(_owner(request), max(0, min(most, _MOST_LISTED)))
        return [_view(record, service) for record in found]

    @app.get("/jobs/{job_id}", responses=_NO_JOB)
    def job(request: Request, job_id: _Id) -> JobView:
        """One job as it stands."""
        return _view(_found(service, request, job_id), service)

    @app.post("/jobs/{job_id}/cancel", responses=_NO_JOB)
    def cancel(request: Request, job_id: _Id) -> JobView:
        """Ends a job that is not finished; a running one stops within seconds."""
        record = service.queue.cancel(job_id, _owner(request))
        if record is None:
            raise _no_job()
        return _view(record, service)

    @app.delete("/jobs/{job_id}", responses=_NO_JOB)
    def delete(request: Request, job_id: _Id) -> Deleted:
        """Takes the job away. Its files go at once, or with the last job that was made from its scene."""
        if not service.delete(job_id, _owner(request)):
            raise _no_job()
        return Deleted(deleted=job_id)

    streams: Counter[str] = Counter()

    @app.get(
        "/jobs/{job_id}/events",
        response_class=StreamingResponse,
        responses=_NO_JOB | {200: {"content": {"text/event-stream": {"schema": _EVENT}}}},
    )
    async def events(request: Request, job_id: _Id) -> StreamingResponse:
        """Server-sent events: `progress` with the job at each change, `end` when it is finished."""
        owner = _owner(request)
        await asyncio.to_thread(_found, service, request, job_id)
        if streams[owner] >= service.limits.streams:
            raise HTTPException(429, f"You have {streams[owner]} event streams open; close one first.")

        async def stream() -> AsyncIterator[str]:
            streams[owner] += 1
            try:
                async for event in _events(service, job_id, owner):
                    yield event
            finally:
                streams[owner] -= 1

        return StreamingResponse(stream(), media_type="text/event-stream")


def _add_changes(app: FastAPI, service: Service) -> None:
    refusals = _NO_JOB | _NOT_DONE

    @app.post("/jobs/{job_id}/reroll", status_code=202, responses=refusals)
    def reroll(request: Request, response: Response, job_id: _Id, options: RerollRequest) -> JobView:
        """Objects of a generated scene made anew; everything else stays as it is to the last bit."""
        return _changed(service, request, response, job_id, options)

    @app.post("/jobs/{job_id}/edit", status_code=202, responses=refusals, dependencies=[_fields("models")])
    def edit(
        request: Request, response: Response, job_id: _Id, options: Annotated[str, Form()], models: _Uploads = None
    ) -> JobView:
        """A scene with objects moved, turned, scaled, deleted, copied, swapped or made anew. `options`: EditRequest."""
        return _changed(service, request, response, job_id, _parsed(options, EditRequest), {"models": models or []})

    @app.post("/jobs/{job_id}/export", status_code=202, responses=refusals)
    def export(request: Request, response: Response, job_id: _Id, options: ExportRequest) -> JobView:
        """A scene in another format."""
        return _changed(service, request, response, job_id, options)


def _add_results(app: FastAPI, service: Service) -> None:
    refusals = _NO_JOB | _NOT_DONE | _BYTES

    @app.get("/jobs/{job_id}/result", response_class=FileResponse, responses=refusals)
    def result(request: Request, job_id: _Id) -> FileResponse:
        """The scene: one file, or a .zip where its format keeps textures or meshes beside it."""
        record = _done(service, request, job_id)
        folder = service.folders.result(record.id)
        if record.kind != "export" or len(record.files) == 1 or not folder.is_dir():
            return _file(folder / record.files[0])
        return _file(bundled(folder, record.files))

    @app.get("/jobs/{job_id}/files/{name:path}", response_class=FileResponse, responses=refusals)
    def file(request: Request, job_id: _Id, name: str) -> Response:
        """One of the files that the job lists."""
        record = _done(service, request, job_id)
        if name not in record.files:
            raise HTTPException(404, "The job has no such file.")
        path = service.folders.result(record.id) / name
        if path.suffix == ".json" and path.is_file():
            return Response(service.folders.public(path.read_text(encoding="utf-8")), media_type="application/json")
        return _file(path)


def _add_facts(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.get("/health", responses={503: {"model": Health}})
    async def health(response: Response) -> Health:
        """Whether all workers run; needs no token."""
        alive = service.supervisor.num_alive
        is_well = service.supervisor.is_alive() and alive == service.num_workers
        response.status_code = 200 if is_well else 503
        status: Literal["ok", "degraded"] = "ok" if is_well else "degraded"
        return Health(status=status, version=__version__, workers=service.num_workers, workers_alive=alive)

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    def metrics_of_prometheus() -> Response:
        """Numbers for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")

    @app.get("/catalogue")
    def catalogue() -> CatalogueView:
        """Systems, formats, profiles and programs of this server."""
        return CatalogueView.model_validate(asdict(service.catalogue))


def _submitted(
    service: Service,
    request: Request,
    response: Response,
    options: JobRequest,
    files: dict[str, list[UploadFile]] | None = None,
    parent: JobRecord | None = None,
) -> JobView:
    """Accepts a job: 202, or 200 with the client's own one that is the same."""
    opened = {name: [upload.file for upload in uploads] for name, uploads in (files or {}).items()}
    record, is_new = service.submit(_owner(request), options, opened, parent)
    response.status_code = 202 if is_new else 200
    response.headers["Location"] = f"/jobs/{record.id}"
    return _view(record, service)


def _changed(
    service: Service,
    request: Request,
    response: Response,
    job_id: str,
    options: JobRequest,
    files: dict[str, list[UploadFile]] | None = None,
) -> JobView:
    parent = _done(service, request, job_id)
    if not parent.files[0].endswith(".glb") or parent.kind == "export":
        raise HTTPException(409, "The job made no scene to go on from; take the one that it was made from.")
    return _submitted(service, request, response, options, files, parent)


async def _events(service: Service, job_id: str, owner: str) -> AsyncIterator[str]:
    """The states of a job until it is finished, gone, or the stream is old; a client then asks again."""
    before, silent_s = None, 0.0
    for _ in range(int(_STREAM_S / _POLL_S)):
        record = await asyncio.to_thread(service.queue.find, job_id, owner)
        if record is None:
            yield "event: end\ndata: null\n\n"
            return
        if record != before:
            name = "end" if record.state in FINISHED else "progress"
            yield f"event: {name}\ndata: {_view(record, service).model_dump_json()}\n\n"
            silent_s = 0.0
        elif silent_s > _SILENCE_S:  # clients and proxies take silence for the end of the connection
            yield ": waiting\n\n"
            silent_s = 0.0
        if record.state in FINISHED:
            return
        before, silent_s = record, silent_s + _POLL_S
        await asyncio.sleep(_POLL_S)


def _parsed(text: str, kind: type[BaseModel]) -> Any:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise InputError(_first_problem(error.errors(), "options")) from error


def _first_problem(errors: Sequence[Any], place: str = "") -> str:
    """One sentence on the first thing that is wrong; what was sent is not repeated."""
    first = errors[0]
    names = [str(part)[:80] for part in first["loc"]]
    where = ".".join(filter(None, [place, *names]))
    message = str(first["msg"])[:300]
    if "UploadFile" in message:
        message = "Expected a file, got text; with curl, write @ before its path"
    return f"{where or 'The request'}: {message.removesuffix('.')}."


def _fields(*files: str) -> Any:
    """A dependency that refuses fields of a form besides options and these, and what would be one sent twice."""

    async def checked(request: Request) -> None:
        form = await request.form()
        for name in form:
            if name not in ("options", *files):
                known = ", ".join(("options", *files))
                raise InputError(f"There is no field '{name[:80]}' but {known}; choices stand in options, as JSON.")
            if name in _SENT_ONCE and len(form.getlist(name)) > 1:
                raise InputError(f"The field '{name}' was sent {len(form.getlist(name))} times; send it once.")

    return Depends(checked)


def _owner(request: Request) -> str:
    owner: str = request.scope["state"]["owner"]
    return owner


def _one(upload: UploadFile | None) -> list[UploadFile]:
    return [] if upload is None else [upload]


def _found(service: Service, request: Request, job_id: str) -> JobRecord:
    record = service.queue.find(job_id, _owner(request))
    if record is None:
        raise _no_job()
    return record


def _done(service: Service, request: Request, job_id: str) -> JobRecord:
    record = _found(service, request, job_id)
    if record.state != "done":
        raise HTTPException(409, f"The job is {record.state}, so it has no result.")
    return record


def _no_job() -> HTTPException:
    return HTTPException(404, "There is no such job of yours.")


def _file(path: Path) -> FileResponse:
    if not path.is_file():
        raise HTTPException(404, "The file is gone.")
    return FileResponse(path, filename=path.name, media_type="application/octet-stream")


def _sentence(status: int, sentence: str) -> JSONResponse:
    return JSONResponse({"detail": sentence}, status)


def _view(record: JobRecord, service: Service) -> JobView:
    content = asdict(record) | {"facts": json.loads(service.folders.public(json.dumps(record.facts)))}
    return JobView.model_validate(content)
