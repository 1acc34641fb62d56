"""What a request passes before it is read: hosts, pages, tokens, sizes, and clients that hold a connection."""

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from scenewright.serve.guards import Guard, timed_protocol
from scenewright.serve.limits import Limits
from scenewright.serve.tokens import Tokens

ANN = "a" * 32
LIMITS = Limits(upload_bytes=1000, json_bytes=100, head_s=0.3, body_bytes_per_s=1000, send_s=0.3)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Says who asks and how much was sent; like a framework, has an answer of its own where that cannot be read."""
    length, more = 0, True
    try:
        while more:
            message = await receive()
            length, more = length + len(message.get("body", b"")), message.get("more_body", False)
        status, content = 200, json.dumps({"owner": scope["state"]["owner"], "length": length}).encode()
    except Exception:
        status, content = 400, b"{}"
    if scope["path"] == "/large":
        content = bytes(32 << 20)
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": content})


def ask(tokens: Tokens | None = None, method: str = "GET", path: str = "/", **options: Any) -> httpx.Response:
    guard = Guard(application, tokens, LIMITS, lambda status: None)

    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=guard)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
            return await client.request(method, path, **options)

    return asyncio.run(asked())


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    path = tmp_path / "tokens"
    path.write_text(f"ann {ANN}\n")
    path.chmod(0o600)
    return Tokens(path)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:8000"])
def test_without_tokens_the_loopback_names_are_answered_to(host: str) -> None:
    assert ask(headers={"host": host}).json()["owner"] == "local"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "192.168.0.2:8000", "", "localhost.:80"])
def test_a_page_that_gave_this_machine_another_name_is_refused(host: str) -> None:
    assert ask(headers={"host": host}).status_code == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://[::1"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_pages_of_other_sites_may_not_ask(headers: dict[str, str], tokens: Tokens) -> None:
    assert ask(method="POST", headers=headers).status_code == 403
    assert ask(tokens, headers=headers | {"authorization": f"Bearer {ANN}"}).status_code == 403
    assert ask(headers={"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}).status_code == 200


@pytest.mark.parametrize("given", ["", ANN, "Bearer", "Bearer ", f"Basic {ANN}", f"Bearer {ANN[1:]}", "Bearer \xff"])
def test_nobody_comes_in_without_a_known_token(tokens: Tokens, given: str) -> None:
    answer = ask(tokens, method="POST", content=b"x" * 50, headers={"authorization": given.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert ask(tokens, headers={"authorization": f"bearer  {ANN}"}).json()["owner"] == "ann"
    for path in ("/health", "/docs", "/openapi.json", "/static-offline-docs/swagger-ui.css"):
        assert ask(tokens, path=path).status_code == 200
    for path in ("/health/../jobs", "/docs/../jobs", "/docsx", "/static-offline-docs", "/jobs", "/metrics"):
        assert ask(tokens, path=path).status_code == 401


def test_large_bodies_are_refused_whether_their_length_is_told_or_not() -> None:
    form = {"content-type": "multipart/form-data; boundary=x"}

    async def pieces() -> Any:
        for _ in range(30):
            yield b"x" * 50

    assert ask(method="POST", content=b"x" * 101).status_code == 413
    assert ask(method="POST", content=b"x" * 900, headers=form).json()["length"] == 900
    assert ask(method="POST", content=b"x" * 1001, headers=form).status_code == 413
    assert ask(method="POST", content=pieces()).status_code == 413  # and not the 400 of the application
    assert ask(method="POST", content=pieces(), headers=form).status_code == 413
    assert ask(headers={"content-length": "9" * 5000}).status_code == 413
    two = [("content-type", "application/json"), ("content-type", "multipart/form-data; boundary=x")]
    assert ask(method="POST", content=b"x" * 101, headers=two).status_code == 413  # the first is what is read


def test_answers_tell_browsers_to_run_nothing_and_keep_nothing() -> None:
    headers = ask().headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert "http" not in ask(path="/docs").headers["content-security-policy"]


@contextmanager
def server() -> Iterator[int]:
    """A real server of the application on a free port."""
    guard = Guard(application, None, LIMITS, lambda status: None)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(guard, http=timed_protocol(LIMITS), lifespan="off", log_level="critical", ws="none")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, args=([listener],))
    thread.start()
    while not running.started:
        time.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        running.should_exit = True
        thread.join()


def answer_to(port: int, *pieces: bytes) -> bytes:
    """All that a server says to pieces of a request until it closes the connection."""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
        said = b""
        for piece in pieces:
            connection.sendall(piece)
        while part := connection.recv(4096):
            said += part
        return said


def test_clients_that_hold_a_connection_are_closed_or_told() -> None:
    head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    with server() as port:
        assert answer_to(port) == b""  # says nothing
        assert answer_to(port, b"GET / HTTP/1.1\r\nHost: 127") == b""  # never ends its head
        slow = answer_to(port, head + b"Content-Length: 50\r\n\r\n", b"x" * 10)  # never ends its body
        assert slow.startswith(b"HTTP/1.1 408")
        done = answer_to(port, head + b"Content-Length: 2\r\n\r\nok", b"GET /again HTTP/1.1\r\nHo")
        assert done.startswith(b"HTTP/1.1 200")
        assert b"HTTP/1.1 4" not in done
        assert httpx.get(f"http://127.0.0.1:{port}/", trust_env=False).status_code == 200


def test_a_client_that_takes_no_answer_loses_its_connection() -> None:
    with server() as port, closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        time.sleep(4 * LIMITS.send_s)
        said, lost = 0, False
        try:
            while part := connection.recv(1 << 20):
                said += len(part)
        except ConnectionError:
            lost = True
        assert lost or said < 32 << 20
