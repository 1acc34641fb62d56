"""Bounds of the service, all in one place; a client that goes beyond one is told which."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """The most that one request, one client and the whole service may take.

    Attributes:
        upload_bytes: of one request; `json_bytes` of one without files, and of each field that is no file.
        files: in one request.
        pixels: of one picture.
        objects: in one scene.
        unpacked_bytes, members: of an archive.
        queue: jobs that wait, of all clients.
        unfinished, stored: jobs of one client that wait or run; that are kept, finished ones too.
        streams: event streams that one client has open.
        job_s: seconds that a job may run.
        keep_s: seconds after its end until a job and its files are deleted.
        reading_s, reading_bytes: processor seconds and memory of the process that reads uploads.
        head_s: seconds in which the head of a request must arrive.
        body_bytes_per_s: the slowest rate of a body, after the first `head_s`.
        send_s: seconds in which a client must take a piece of an answer.
        connections: open at once.
        free_bytes: on the disk, below which nothing is accepted.
    """

    upload_bytes: int = 256 << 20
    json_bytes: int = 1 << 20
    files: int = 256
    pixels: int = 64_000_000
    objects: int = 64
    unpacked_bytes: int = 4 << 30
    members: int = 10_000
    queue: int = 1_000
    unfinished: int = 100
    stored: int = 2_000
    streams: int = 16
    job_s: float = 3600.0
    keep_s: float = 7 * 86_400.0
    reading_s: int = 60
    reading_bytes: int = 4 << 30
    head_s: float = 10.0
    body_bytes_per_s: int = 32 << 10
    send_s: float = 60.0
    connections: int = 256
    free_bytes: int = 1 << 30
