"""Draws docs/images/architecture.svg: the layers of the import contract, and the rooms in each of them.

    uv run python scripts/draw_architecture.py           # writes the picture
    uv run python scripts/draw_architecture.py --check   # exit 1 if the picture is not what the sources say

Layers come from the contract in pyproject.toml, rooms and their first sentences from the packages themselves.
"""

import argparse
import ast
import sys
import textwrap
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "src"
PICTURE = ROOT / "docs" / "images" / "architecture.svg"

WIDTH, MARGIN, GAP = 1200, 24, 10
TITLE, LINE, PADDING = 20, 15, 10
CHARACTER_WIDTH = 6.4  # of 12 px sans-serif, on average


def layers() -> list[list[str]]:
    """The layers of the first contract, top first; each a list of module names."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    ordered = next(contract for contract in contracts if contract["type"] == "layers")["layers"]
    return [[name.strip() for name in layer.split("|")] for layer in ordered]


def first_sentence(path: Path) -> str:
    """What a module's docstring says first."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    line = " ".join(docstring.split("\n\n")[0].split())
    return line.split(". ")[0].rstrip(".")


def described(module: str) -> tuple[str, list[str]]:
    """A module's first sentence and the names of the packages inside it."""
    path = SOURCES / module.replace(".", "/")
    if not path.is_dir():
        return first_sentence(path.with_suffix(".py")), []
    rooms = [child.name for child in sorted(path.iterdir()) if (child / "__init__.py").is_file()]
    return first_sentence(path / "__init__.py"), rooms


def box(module: str, width: float) -> list[str]:
    """The lines of text in a module's box: its sentence, then its rooms, folded to the width."""
    sentence, rooms = described(module)
    columns = int((width - 2 * PADDING) / CHARACTER_WIDTH)
    lines = textwrap.wrap(sentence, columns)
    return lines + (textwrap.wrap("rooms: " + ", ".join(rooms), columns) if rooms else [])


def drawn() -> str:
    """The picture as SVG."""
    parts, top = [], MARGIN
    for layer in layers():
        width = (WIDTH - 2 * MARGIN - GAP * (len(layer) - 1)) / len(layer)
        texts = [box(module, width) for module in layer]
        height = 2 * PADDING + TITLE + LINE * max(len(lines) for lines in texts)
        for index, (module, lines) in enumerate(zip(layer, texts, strict=True)):
            left = MARGIN + index * (width + GAP)
            parts.append(
                f'<rect x="{left:.1f}" y="{top}" width="{width:.1f}" height="{height}" rx="6" '
                'fill="#f6f8fa" stroke="#57606a"/>'
            )
            name = module.removeprefix("scenewright.")
            x, y = left + PADDING, top + PADDING + 12
            parts.append(f'<text x="{x:.1f}" y="{y}" font-weight="bold" font-size="14">{escape(name)}</text>')
            for number, line in enumerate(lines):
                y = top + PADDING + TITLE + LINE * number + 11
                parts.append(f'<text x="{x:.1f}" y="{y}" fill="#24292f">{escape(line)}</text>')
        top += height + GAP
    note = "A layer imports only from layers below it; modules beside each other do not import each other."
    parts.append(f'<text x="{MARGIN}" y="{top + 14}" font-style="italic">{note}</text>')
    height = top + 14 + MARGIN
    view = f"0 0 {WIDTH} {height}"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, f'<rect width="{WIDTH}" height="{height}" fill="white"/>', *parts, "</svg>", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the picture is out of date")
    if not parser.parse_args().check:
        PICTURE.write_text(drawn())
    elif not PICTURE.is_file() or PICTURE.read_text() != drawn():
        sys.exit("docs/images/architecture.svg is out of date; run `uv run python scripts/draw_architecture.py`.")


if __name__ == "__main__":
    main()
