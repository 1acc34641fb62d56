"""Commands that write, on tiny inputs, run in forks of this process: what kills and faults are tried on.

A fork starts at once and has everything imported, so that a few hundred runs take minutes.
"""

import contextlib
import json
import os
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scenewright import cli
from scenewright.cli.app import app
from scenewright.data.recipes import DataRecipe

__all__ = ["COMMANDS", "Command", "finish", "make_inputs", "run", "start", "warm_up"]


@dataclass(frozen=True)
class Command:
    """One way to call the tool.

    Attributes:
        arguments: words of the command line; IN and OUT stand for the folders of inputs and outputs.
    """

    name: str
    arguments: tuple[str, ...]

    def words(self, inputs: Path, out: Path) -> list[str]:
        return [word.replace("IN/", f"{inputs}/").replace("OUT", str(out)) for word in self.arguments]


_CUBOID = ("--system", "cuboid", "--device", "cpu")
COMMANDS = (
    Command("generate", ("generate", "IN/room.png", "-m", "IN/room_masks.png", "-o", "OUT/room.glb", *_CUBOID)),
    Command("folder", ("generate", "IN/photos", "-o", "OUT/scenes", *_CUBOID)),
    Command("replay", ("replay", "IN/made/room.json", "-o", "OUT/again.glb")),
    Command("convert", ("convert", "IN/made/room.glb", "OUT/room.obj")),
    Command("convert to glTF", ("convert", "IN/made/room.glb", "OUT/room.gltf")),
    Command("render", ("render", "IN/made/room.glb", "-o", "OUT/room.png", "--size", "32", "--device", "cpu")),
    Command("data make", ("data", "make", "IN/data.toml", "-o", "OUT/data")),
    Command("data import", ("data", "import", "IN/made/room.glb", "-o", "OUT/pack")),
    Command(
        "evaluate",
        ("evaluate", "--predictions", "IN/made/alone", "--ground-truth", "IN/made/alone", "--json", "OUT/e/result.json")
        + ("--no-pictures", "--workers", "1", "--device", "cpu"),
    ),
)


def make_inputs(folder: Path) -> Path:
    """A picture with masks, a folder of such, a made scene, and a recipe; returns the folder."""
    (folder / "photos").mkdir(parents=True)
    pixels, labels = np.full((48, 64, 3), 128, np.uint8), np.zeros((48, 64), np.uint8)
    labels[14:40, 6:28], labels[20:36, 36:58] = 1, 2
    pixels[labels == 1], pixels[labels == 2] = (200, 30, 30), (30, 30, 200)
    for stem, suffix in (("room", "_masks"), ("photos/a", "_masks"), ("photos/b", "_masks")):
        Image.fromarray(pixels).save(folder / f"{stem}.png")
        Image.fromarray(labels).save(folder / f"{stem}{suffix}.png")
    Image.fromarray(labels[:, ::-1].copy()).save(folder / "other_masks.png")
    recipe = DataRecipe("floor", count=2, seed=4, size=32, supersample=1, with_meshes=False, scenes_per_shard=1)
    (folder / "data.toml").write_text("".join(f"{line}\n" for line in _toml(recipe)))
    for name, masks in (("made", "room_masks"), ("other", "other_masks")):
        (folder / name).mkdir()
        words = ["generate", f"{folder}/room.png", "-m", f"{folder}/{masks}.png", "-o", f"{folder}/{name}/room.glb"]
        code, printed = run([*words, *_CUBOID])
        assert code == 0, printed
        (folder / name / "alone").mkdir()
        shutil.copy(folder / name / "room.glb", folder / name / "alone")
    return folder


def _toml(recipe: DataRecipe) -> Iterator[str]:
    for name in ("kind", "count", "seed", "size", "supersample", "with_meshes", "scenes_per_shard"):
        yield f"{name} = {json.dumps(getattr(recipe, name))}"


def start(words: Sequence[str], prepare: Callable[[], object] = lambda: None) -> tuple[int, int]:
    """A fork that runs a command line: its process number and a pipe with what it prints.

    `prepare` is called in it first.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    source, sink = os.pipe()
    process = os.fork()
    if process:
        os.close(sink)
        return process, source
    code = 99
    try:
        os.close(source)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
        torch.set_num_threads(1)
        sys.argv = ["scenewright", *words]
        prepare()
        cli.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def finish(process: int, source: int) -> tuple[int, str]:
    """Exit code (negative: the signal) and output of a fork that has been started."""
    with open(source, "rb") as file:
        printed = file.read().decode(errors="replace")
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), printed


def run(words: Sequence[str], prepare: Callable[[], object] = lambda: None) -> tuple[int, str]:
    """Exit code and output of a command line in a fork."""
    return finish(*start(words, prepare))


def warm_up(inputs: Path, out: Path, commands: Sequence[Command] = COMMANDS) -> None:
    """Runs commands once in this process, so that forks find everything imported and compiled."""
    for command in commands:
        folder = out / command.name.replace(" ", "_")
        folder.mkdir(parents=True)
        with contextlib.suppress(SystemExit):
            app(command.words(inputs, folder))
