"""Pages of the documentation, and the code blocks in them.

A block of `sh` or `python` is run by the tests as it stands, unless a comment right above it says otherwise:

    <!-- not run: REASON -->            its commands and imports are checked all the same
    <!-- run with: --system cuboid -->  the words are added to each command that knows the option, in place of its own
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md")), *sorted((ROOT / "integrations").rglob("*.md"))]
_BLOCK = re.compile(
    r"(?:^(?P<comment>[ ]*<!--[^\n]*-->)\n)?^(?P<indent>[ ]*)```(?P<language>\w*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_DIRECTIVE = re.compile(r"<!-- (not run|run with): (.+) -->")


@dataclass(frozen=True)
class Block:
    """A fenced block. `not_run` is the reason not to run it; `added` are words for commands that know them."""

    language: str
    text: str
    not_run: str = ""
    added: tuple[str, ...] = ()

    def commands(self) -> list[list[str]]:
        """The words of every command of a block of `sh`, comments left out."""
        lines = self.text.replace("\\\n", " ").splitlines()
        parts = [part for line in lines for part in re.split(r" && ", line)]
        return [words for part in parts if (words := shlex.split(part, comments=True))]


def blocks(page: Path) -> list[Block]:
    return [_block(match) for match in _BLOCK.finditer(page.read_text(encoding="utf-8"))]


def _block(match: re.Match[str]) -> Block:
    text = re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
    directive = _DIRECTIVE.search(match["comment"] or "")
    if directive is None:
        return Block(match["language"], text)
    if directive[1] == "not run":
        return Block(match["language"], text, not_run=directive[2])
    return Block(match["language"], text, added=tuple(shlex.split(directive[2])))


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))
