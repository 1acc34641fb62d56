"""Tokens: who has one, what a file of them must be, and that a deleted one is refused at once."""

import os
from pathlib import Path

import pytest

from scenewright.errors import InputError
from scenewright.serve.tokens import Tokens

ANN, BOB = "a" * 32, "b" * 40


def written(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_each_token_has_its_client(tmp_path: Path) -> None:
    tokens = Tokens(written(tmp_path / "tokens", f"# ours\nann {ANN}\n\nbob\t{BOB}\n"))
    assert tokens.owner_of(ANN) == "ann"
    assert tokens.owner_of(BOB) == "bob"
    for wrong in ("", ANN[:-1], ANN + "a", "ann", "\udcff", "x" * 100_000):
        assert tokens.owner_of(wrong) is None


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    assert Tokens(written(tmp_path / "tokens", f"\ufeffann {ANN}\r\nann {BOB}\r\n")).owner_of(ANN) == "ann"


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "tokens", 0o600)
    with pytest.raises(InputError, match="it is no regular file"):
        Tokens(tmp_path / "tokens")


def test_a_deleted_token_is_refused_and_a_new_one_let_in_without_a_restart(tmp_path: Path) -> None:
    path = written(tmp_path / "tokens", f"ann {ANN}\nbob {BOB}\n")
    tokens = Tokens(path)
    written(path, f"bob {BOB}\n")
    assert tokens.owner_of(ANN) is None
    assert tokens.owner_of(BOB) == "bob"
    path.unlink()  # nobody, rather than everybody
    assert tokens.owner_of(BOB) is None
    written(path, f"ann {ANN}\n")
    assert tokens.owner_of(ANN) == "ann"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no token"),
        ("# nobody\n", "holds no token"),
        ("ann short\n", "Line 1 of"),
        (f"ann {ANN} more\n", "Line 1 of"),
        (f"# ok\n../ann {ANN}\n", "Line 2 of"),
        (f"ann {ANN}\nbob {ANN}\n", "Line 2 of .* has the secret of another client"),
    ],
)
def test_a_file_that_is_no_file_of_tokens_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Tokens(written(tmp_path / "tokens", text))


@pytest.mark.skipif(os.name != "posix", reason="other systems have no such modes")
def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="chmod 600"):
        Tokens(written(tmp_path / "tokens", f"ann {ANN}\n", 0o644))
    with pytest.raises(InputError, match="cannot be read"):
        Tokens(tmp_path / "none")
