"""Viser's server with a lock on its door, which it has not: who may connect, and how much may be sent.

The page itself is a static file without anything in it; all of the work goes through its websocket. That one is refused

* to pages of other origins, so that no website a person visits can drive a studio on the same machine;
* where there are tokens, as there must be on other addresses than loopback, to whoever knows none.

Viser's tunnel to a public address is off.
"""

import ipaddress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import viser
from viser import infra
from viser._messages import FileTransferStartUpload

from scenewright.errors import InputError
from scenewright.serve.origins import is_own_origin
from scenewright.serve.tokens import Tokens

__all__ = ["StudioServer"]


class StudioServer(viser.ViserServer):
    """A viser server that only its own page may connect to, with a token where it is bound to more than loopback."""

    def __init__(
        self, host: str = "127.0.0.1", port: int = 8080, *, tokens: Path | None = None, most_uploaded: int
    ) -> None:
        """
        Args:
            tokens: the file of those who may come in; see `serve.tokens`.
            most_uploaded: bytes of the largest file that is taken.

        Raises:
            InputError: another address than a loopback one without tokens, or they cannot be read.
        """
        if tokens is None and not _is_loopback(host):
            raise InputError(f"Whoever reaches '{host}' could use the studio; give --tokens FILE, or use 127.0.0.1.")
        self._tokens = None if tokens is None else Tokens(tokens)
        self._most_uploaded = most_uploaded
        super().__init__(host=host, port=port, label="Scenewright studio", verbose=False)
        # Before viser's own, so that whoever is refused receives nothing.
        self._websock_server._client_connect_cb.insert(0, self._admit)
        interface = self.gui._websock_interface
        interface.unregister_handler(FileTransferStartUpload, self.gui._handle_file_transfer_start)
        interface.register_handler(FileTransferStartUpload, self._begin_upload)

    @property
    def url(self) -> str:
        """The address to open; where there are tokens, TOKEN in it stands for one of them."""
        host = self.get_host()
        shown = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
        place = f"{f'[{shown}]' if ':' in shown else shown}:{self.get_port()}"
        return f"http://{place}/" if self._tokens is None else f"http://{place}/?websocket=ws://{place}/TOKEN"

    def request_share_url(self, verbose: bool = True) -> str | None:
        """Nothing is shown to the internet."""
        return None

    def _admit(self, client: infra.WebsockClientConnection) -> None:
        request = self._websock_server._live_connections[client.client_id].request
        assert request is not None
        headers = request.headers
        if not _is_own_page(headers.get("Origin"), headers.get("Host", ""), needs_loopback=self._tokens is None):
            raise ConnectionRefusedError("a page of another origin")
        if self._tokens is not None and self._tokens.owner_of(unquote(request.path[1:])) is None:
            raise ConnectionRefusedError("no token, or an unknown one")

    def _begin_upload(self, client_id: Any, message: FileTransferStartUpload) -> None:
        if message.size_bytes <= self._most_uploaded and message.part_count <= message.size_bytes:
            self.gui._handle_file_transfer_start(client_id, message)


def _is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_own_page(origin: str | None, host: str, *, needs_loopback: bool) -> bool:
    """Whether a request comes from the page that this server sent, or from a program, which sends no origin.

    A name that was pointed at this machine afterwards (DNS rebinding) is no loopback address, so its pages are refused.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return (not needs_loopback or _is_loopback(name)) and is_own_origin(origin, host)
