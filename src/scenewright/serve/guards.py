"""The guard that every request passes before it is read: who asks, from which page, how much, and how slowly.

Written for ASGI itself, as a framework would have read and stored a whole upload before it asks for a token.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from scenewright.serve.limits import Limits
from scenewright.serve.origins import is_own_origin
from scenewright.serve.service import LOCAL
from scenewright.serve.tokens import Tokens

__all__ = ["Guard", "timed_protocol"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# A browser can send no token before it has the page on which to enter one.
OPEN_PATHS = frozenset({"/health", "/docs", "/openapi.json"})
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_DEFAULT_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_DOCS_POLICY = (
    b"content-security-policy",
    b"default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline';"
    b" script-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
)
_DOCS_FILES = "/static-offline-docs/"
_LONGEST_LENGTH = 18
# Answers that frameworks give as text, or without a word.
_SENTENCES = {
    400: "The request cannot be read; /docs shows its form.",
    416: "The file has no bytes at the place that the Range header names.",
    500: "The server made a mistake with the request; its log says which.",
}


class _Refused(Exception):
    """The request is answered with this status and sentence, whatever the application makes of it."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Guard:
    """Lets requests through to the application, with the name of the client in `scope["state"]["owner"]`.

    Without tokens only names of the loopback address are answered to, so that no page of a browser on this machine can
    reach the service under a name of its own. Browsers are let in from pages of the service itself.
    """

    def __init__(self, app: App, tokens: Tokens | None, limits: Limits, count: Callable[[int], None]) -> None:
        self._app, self._tokens, self._limits, self._count = app, tokens, limits, count

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers: dict[bytes, str] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, value.decode("latin-1"))  # of several the first, as frameworks take them
        answer = _Answer(send, self._count, is_docs=_is_docs(scope["path"]))
        body = _Body(receive, self._limits, headers)

        async def send_unless_refused(message: Message) -> None:
            if body.refused is None:  # frameworks have an answer of their own to a body that cannot be read
                await answer.send(message)

        try:
            self._check(scope, headers)
            body.check()
            await self._app(scope, body.receive, send_unless_refused)
        except _Refused as refused:
            body.refused = refused
        except Exception:
            if body.refused is None:
                raise
        if body.refused is not None:
            await answer.refuse(body.refused.status, str(body.refused))

    def _check(self, scope: MutableMapping[str, Any], headers: dict[bytes, str]) -> None:
        host = headers.get(b"host", "")
        if self._tokens is None and _host_name(host) not in LOOPBACK:
            raise _Refused(421, "Without tokens this service answers to localhost only.")
        if not is_own_origin(headers.get(b"origin"), host):
            raise _Refused(403, "Pages of other sites may not use this service.")
        if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin"):
            raise _Refused(403, "Pages of other sites may not use this service.")
        scope.setdefault("state", {})["owner"] = LOCAL
        if self._tokens is None or scope["path"] in OPEN_PATHS or _is_docs(scope["path"]):
            return
        scheme, _, token = headers.get(b"authorization", "").partition(" ")
        owner = self._tokens.owner_of(token.strip()) if scheme.lower() == "bearer" else None
        if owner is None:
            raise _Refused(401, "Send a known token: Authorization: Bearer TOKEN.")
        scope["state"]["owner"] = owner


class _Body:
    """The body of a request, of bounded length, that must arrive at a certain rate."""

    def __init__(self, receive: Receive, limits: Limits, headers: dict[bytes, str]) -> None:
        self._receive, self._limits = receive, limits
        is_form = headers.get(b"content-type", "").lower().startswith("multipart/")
        self._most = limits.upload_bytes if is_form else limits.json_bytes
        self._declared = headers.get(b"content-length", "")
        self._begun, self._length, self._is_whole = time.monotonic(), 0, False
        self.refused: _Refused | None = None

    def check(self) -> None:
        if self._declared.isascii() and self._declared.isdigit():
            length = self._declared.lstrip("0") or "0"
            if len(length) > _LONGEST_LENGTH or int(length) > self._most:
                raise self._too_large()

    async def receive(self) -> Message:
        if self._is_whole:  # what comes now is that the client has gone
            return await self._receive()
        allowed = self._limits.head_s + self._length / self._limits.body_bytes_per_s
        try:
            message = await asyncio.wait_for(self._receive(), max(0.0, self._begun + allowed - time.monotonic()))
        except TimeoutError:
            self.refused = _Refused(408, "The request came too slowly.")
            raise self.refused from None
        self._length += len(message.get("body", b""))
        if self._length > self._most:
            self.refused = self._too_large()
            raise self.refused
        self._is_whole = not message.get("more_body", False)
        return message

    def _too_large(self) -> _Refused:
        return _Refused(413, f"The request is larger than the {self._most:,} bytes that are read.")


class _Answer:
    """The response of the application, with headers for browsers."""

    def __init__(self, send: Send, count: Callable[[int], None], *, is_docs: bool) -> None:
        self._send, self._count = send, count
        self._policy = _DOCS_POLICY if is_docs else _DEFAULT_POLICY
        self._is_begun = self._is_refused = False

    async def send(self, message: Message) -> None:
        if self._is_refused:  # what frameworks say of it is left out
            return
        if message["type"] == "http.response.start" and message["status"] in _SENTENCES:
            kinds = [value for name, value in message["headers"] if name.lower() == b"content-type"]
            if not any(kind.startswith(b"application/json") for kind in kinds):
                await self.refuse(message["status"], _SENTENCES[message["status"]])
                self._is_refused = True
                return
        await self._send_with_policy(message)

    async def _send_with_policy(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._is_begun = True
            self._count(message["status"])
            present = {name.lower() for name, _ in message["headers"]}
            added = [header for header in (*_HEADERS, self._policy) if header[0] not in present]
            message = {**message, "headers": [*message["headers"], *added]}
        await self._send(message)

    async def refuse(self, status: int, sentence: str) -> None:
        """Answers with a sentence, unless an answer has begun."""
        if self._is_begun:
            return
        body = json.dumps({"detail": sentence}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),  # what the client still sends is not read
        ]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await self._send_with_policy({"type": "http.response.start", "status": status, "headers": headers})
        await self._send_with_policy({"type": "http.response.body", "body": body})


def _is_docs(path: str) -> bool:
    """Whether the path is the page of the interface, or one of its files."""
    return path == "/docs" or path.startswith(_DOCS_FILES)


def _host_name(host: str) -> str:
    """The name in a Host header, without its port."""
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def timed_protocol(limits: Limits) -> type[H11Protocol]:
    """Uvicorn's HTTP, which also ends connections that are only held: those whose next request does not arrive within
    `head_s`, and those whose client takes nothing of an answer for `send_s`."""

    class TimedProtocol(H11Protocol):
        _deadline: asyncio.TimerHandle | None = None
        _patience: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._expect_head()

        def data_received(self, data: bytes) -> None:
            if self.cycle is None or self.cycle.response_complete:
                self._expect_head()
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._forget()

        def pause_writing(self) -> None:
            super().pause_writing()
            # Aborted, not closed: what waits to be sent would hold the connection.
            self._patience = self.loop.call_later(limits.send_s, self.transport.abort)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._lose_no_patience()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            self._lose_no_patience()
            super().connection_lost(exc)

        def _expect_head(self) -> None:
            if self._deadline is None:
                self._deadline = self.loop.call_later(limits.head_s, self.transport.close)

        def _forget(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _lose_no_patience(self) -> None:
            if self._patience is not None:
                self._patience.cancel()
                self._patience = None

    return TimedProtocol
