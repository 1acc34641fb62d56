"""The files of a folder of known faults through their readers."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from scenewright.encoders.masks import load_masks
from scenewright.io.scene_file import load_scene
from scenewright.io.voxel_file import load_ovoxel
from tests.fuzz.driver import Outcome, read_once, within_budget
from tests.fuzz.targets import TARGETS

__all__ = ["outcomes"]

_LOOSE: dict[str, Callable[[Path], object]] = {
    "b.vxz": load_ovoxel,
    "hdr.npz": load_ovoxel,
    "prims.glb": load_scene,
    "tex.glb": load_scene,
    "rle.json": lambda path: load_masks(path, (32, 40)),
    "eps.zip": TARGETS["arch"].read,
    "texbomb.zip": TARGETS["arch"].read,
    "manifest_network.json": TARGETS["replay"].read,
    "scene_json_outside": TARGETS["tscene"].read,
}


def outcomes(faults: Path) -> Iterator[tuple[str, str | None]]:
    """Name of each fault, and what is still wrong with it."""
    for name, read in _LOOSE.items():
        yield name, _tried(read, faults / name)
    for place in sorted(faults.glob("fuzz/*/*")):
        kind = place.parent.name
        target = TARGETS[kind]
        (damaged,) = [path for path in place.iterdir() if path.name != "what.txt"]
        with tempfile.TemporaryDirectory() as folder:
            target.make(Path(folder))
            for copy in _places(Path(folder), damaged.name, target.files):
                copy.write_bytes(damaged.read_bytes())
                yield f"{kind}/{place.name}", _tried(target.read, copy if target.is_single else Path(folder))


def _places(folder: Path, name: str, files: tuple[str, ...]) -> Iterator[Path]:
    """Where a file of that name belongs, else beside the others under its own name."""
    by_name = [folder / file for file in files if Path(file).name == name]
    if not by_name and name == "m.json":  # a network of a pipeline
        by_name = [folder / file for file in files if "pipeline.json" not in file]
    yield from by_name or [folder / name]


def _tried(read: Callable[[Path], object], path: Path) -> str | None:
    fault, _, grown = read_once(read, path, Outcome(path.name))
    return fault or within_budget(grown, path)
