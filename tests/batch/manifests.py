"""A small batch: cuboids of one picture under several seeds, and the results that a run without a batch gives."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from scenewright.batch.places import Place, Roots, open_place
from scenewright.batch.run import Batch
from scenewright.batch.worker import Setup

PICTURES = Path(__file__).parents[1] / "data" / "replay"
SETTINGS = {"image": "picture.png", "masks": ["masks.png"], "system": "cuboid"}


def line(name: str, **settings: object) -> dict:
    return {"name": name, "kind": "generate", "settings": SETTINGS | settings}


def write_manifest(folder: Path, lines: Iterable[dict | str], *, name: str = "jobs.jsonl") -> Path:
    """The manifest beside the pictures it names."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in ("picture.png", "masks.png"):
        shutil.copy(PICTURES / picture, folder / picture)
    path = folder / name
    path.write_text("".join((entry if isinstance(entry, str) else json.dumps(entry)) + "\n" for entry in lines))
    return path


def batch_of(manifest: Path, out: str | Path, *, inputs: tuple[str, ...] = (), **options: object) -> Batch:
    folder = open_place(str(manifest.parent))
    roots = Roots((folder, *map(open_place, inputs)))
    return Batch(folder, manifest.name, roots, open_place(str(out)), pause_s=0.01, **options)


def setup_of(batch: Batch) -> Setup:
    return Setup(batch.roots, batch.out, "cpu", offline=True)


def set_aside(out: Place) -> dict[str, str]:
    """Reasons by name."""
    content = out.read("set_aside.jsonl")
    assert content is not None
    return {entry["name"]: entry["reason"] for entry in map(json.loads, content.splitlines())}
