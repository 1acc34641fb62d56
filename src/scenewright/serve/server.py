"""The web server of a service: one process, whose workers end with it."""

import logging
import socket
from collections.abc import Callable

import uvicorn

from scenewright.errors import InputError
from scenewright.files import reason_of
from scenewright.serve.app import guarded_app
from scenewright.serve.guards import LOOPBACK, timed_protocol
from scenewright.serve.service import ServiceSettings, opened_service

__all__ = ["serve"]

logger = logging.getLogger(__name__)
_GRACE_S = 5


def serve(
    settings: ServiceSettings,
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    on_start: Callable[[str], None] = logger.info,
) -> None:
    """Serves until the process is told to end.

    Args:
        port: 0 takes a free one.
        on_start: receives a line that says where.

    Raises:
        InputError: another address than the loopback one without tokens, an address that cannot be had, a data folder
            that another server has, or tokens that cannot be read.
    """
    if host not in LOOPBACK and settings.tokens is None:
        raise InputError(f"Whoever reaches '{host}' could use the service; give --tokens FILE, or serve on 127.0.0.1.")
    listener = _listener(host, port)
    service = opened_service(settings)
    config = uvicorn.Config(
        guarded_app(service),
        http=timed_protocol(settings.limits),
        ws="none",
        lifespan="on",
        limit_concurrency=settings.limits.connections,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=_GRACE_S,
        server_header=False,
        proxy_headers=False,
        access_log=False,
        log_level=logging.WARNING,
    )
    shown = f"[{host}]" if ":" in host else host
    on_start(f"http://{shown}:{listener.getsockname()[1]}/docs on {', '.join(settings.devices)}; Ctrl-C ends it")
    uvicorn.Server(config).run([listener])


def _listener(host: str, port: int) -> socket.socket:
    """A socket that is bound already: a port that is taken is told before anything is started."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()  # who asks before the server is up waits
    except (OSError, ValueError) as error:  # a name that can be none, such as a..b, is a ValueError
        raise InputError(f"Cannot listen on {host}:{port}: {reason_of(error)}.") from error
    return listener
