"""Who may connect to the studio: its own page, with a token where there are tokens; nobody else receives anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import viser
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from scenewright.errors import InputError
from scenewright.studio.server import StudioServer, _is_own_page

SECRET = "0123456789abcdef0123456789abcdef"


@contextmanager
def served(host: str = "127.0.0.1", tokens: Path | None = None) -> Iterator[StudioServer]:
    server = StudioServer(host, 0, tokens=tokens, most_uploaded=1000)
    server.gui.add_markdown("a secret of the page")
    yield server
    server.stop()


def received(server: StudioServer, path: str = "/", **headers: str) -> bytes:
    """The first message of the server; nothing where it hangs up."""
    port, version = server.get_port(), Subprotocol(f"viser-v{viser.__version__}")
    with connect(
        f"ws://127.0.0.1:{port}{path}", subprotocols=[version], additional_headers=headers, compression=None
    ) as line:
        try:
            message = line.recv(timeout=20)
        except ConnectionClosed:
            return b""
        return message if isinstance(message, bytes) else message.encode()


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"me {SECRET}\n")
    path.chmod(0o600)
    return path


def test_only_the_own_page_and_programs_are_answered_on_loopback() -> None:
    with served() as server:
        assert server.url == f"http://127.0.0.1:{server.get_port()}/"
        assert received(server)
        assert received(server, Origin=server.url.rstrip("/"))
        assert not received(server, Origin="https://example.org")
        assert not received(server, Origin="null")
        assert not received(server, Origin="http://[")


@pytest.mark.parametrize("host", ["[", "[::1", "", "evil.example"])
def test_hosts_that_are_none_are_no_own_page(host: str) -> None:
    assert not _is_own_page(None, host, needs_loopback=True)


def test_a_token_is_needed_where_there_are_tokens(tokens: Path) -> None:
    with served("0.0.0.0", tokens) as server:
        assert server.url.endswith("/TOKEN")
        assert received(server, f"/{SECRET}")
        assert not received(server)
        assert not received(server, f"/{SECRET[:-1]}0")
        assert not received(server, f"/{SECRET}", Origin="https://example.org")


def test_other_addresses_than_loopback_need_tokens() -> None:
    with pytest.raises(InputError, match="give --tokens FILE"):
        StudioServer("0.0.0.0", 0, most_uploaded=1000)


def test_nothing_is_shown_to_the_internet() -> None:
    with served() as server:
        assert server.request_share_url() is None
