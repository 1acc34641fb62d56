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
from tests.recipes.tiny import write_samples

__all__ = ["COMMANDS", "CUBOID", "FURTHER", "Command", "finish", "make_inputs", "run_in_fork", "start", "warm_up"]


@dataclass(frozen=True)
class Command:
    """One way to call the tool.

    Attributes:
        arguments: words of the command line; IN and OUT stand for the folders of inputs and outputs.
        varies: patterns of files in the folder of outputs whose bytes differ from run to run.
    """

    name: str
    arguments: tuple[str, ...]
    varies: tuple[str, ...] = ()

    def words(self, inputs: Path, out: Path) -> list[str]:
        return [word.replace("IN/", f"{inputs}/").replace("OUT", str(out)) for word in self.arguments]


CUBOID = ("--system", "cuboid", "--device", "cpu")
_SMALL = ("--resolution", "16", "--structure-resolution", "16")
_TRAIN = ("train", "IN/recipe.toml", "--data", "IN/samples", "-o", "OUT/run", "--resume", "--device", "cpu")
_VARY_IN_RUNS = ("*.jsonl", "*/checkpoints/*", "*/sheets/*")
COMMANDS = (
    Command("generate", ("generate", "IN/room.png", "-m", "IN/room_masks.png", "-o", "OUT/room.glb", *CUBOID)),
    Command("folder", ("generate", "IN/photos", "-o", "OUT/scenes", *CUBOID)),
    Command(
        "batch",
        ("batch", "IN/jobs.jsonl", "-o", "OUT/batch", "--device", "cpu"),
        ("batch/batch.json", "batch/*/job.json"),
    ),
    Command("replay", ("replay", "IN/made/room.json", "-o", "OUT/again.glb")),
    Command("convert", ("convert", "IN/made/room.glb", "OUT/room.obj")),
    Command("convert to glTF", ("convert", "IN/made/room.glb", "OUT/room.gltf")),
    Command("render", ("render", "IN/made/room.glb", "-o", "OUT/room.png", "--size", "32", "--device", "cpu")),
    Command("data make", ("data", "make", "IN/data.toml", "-o", "OUT/data")),
    Command("data import", ("data", "import", "IN/made/room.glb", "-o", "OUT/pack")),
    Command("train", _TRAIN, _VARY_IN_RUNS),
    Command(
        "evaluate",
        ("evaluate", "--predictions", "IN/made/alone", "--ground-truth", "IN/made/alone", "--json", "OUT/e/result.json")
        + ("--no-pictures", "--workers", "1", "--device", "cpu"),
    ),
)
# Commands whose computing takes long; `tests/faults/test_faults.py` puts a made scene in its place.
FURTHER = (
    Command("demo", ("demo", "-o", "OUT/demo", "--system", "cuboid")),
    Command("object", ("object", "IN/cut.png", "-o", "OUT/a.glb", "--device", "cpu")),
    Command("texture", ("texture", "IN/made/room.glb", "IN/cut.png", "-o", "OUT/a.glb", "--device", "cpu")),
    Command("edit", ("edit", "IN/made/room.glb", "--move", "object_1", "1", "0", "0", "-o", "OUT/a.glb")),
    Command("reroll", ("reroll", "IN/made/room.json", "object_1", "-o", "OUT/a.glb", "--device", "cpu")),
    Command(
        "panorama", ("panorama", "IN/panorama.png", "--faces", "OUT/faces", "--size", "16", "--json", "OUT/a.json")
    ),
    Command("data pack", ("data", "pack", "IN/pack", "-o", "OUT/a.tar", "--parametric", "1")),
    Command("prepare assets", ("prepare", "assets", "--parametric", "1", "-o", "OUT/assets", *_SMALL)),
    Command("prepare latents", ("prepare", "latents", "IN/assets", "-o", "OUT/latents", "--structure", "IN/run")),
    Command("reconstruct", ("reconstruct", "IN/pack", "--shape", "IN/run", "--split", "all", "--json", "OUT/a.json")),
    Command("list", ("list", "--json", "OUT/list.json")),
    Command("doctor", ("doctor", "--json", "OUT/doctor.json")),
)
_RECIPE = """
task = "structure_vae"
summary = "toy"
[model]
network = { channels = [4, 8], num_res_blocks = 1, num_res_blocks_middle = 1 }
[train]
batch_size = 2
precision = "fp32"
workers = 0
max_steps = 4
[log]
every = 1
checkpoint_steps = 1
sheet_steps = 4
tensorboard = false
"""


def make_inputs(folder: Path, run: Callable[[Sequence[str]], tuple[int, str]] | None = None) -> Path:
    """A picture with masks, a folder of such, a made scene, and recipes; returns the folder.

    Args:
        run: gives exit code and output of a command line; None runs it in a fork.
    """
    run = run or run_in_fork
    (folder / "photos").mkdir(parents=True)
    pixels, labels = np.full((48, 64, 3), 128, np.uint8), np.zeros((48, 64), np.uint8)
    labels[14:40, 6:28], labels[20:36, 36:58] = 1, 2
    pixels[labels == 1], pixels[labels == 2] = (200, 30, 30), (30, 30, 200)
    for stem, suffix in (("room", "_masks"), ("photos/a", "_masks"), ("photos/b", "_masks")):
        Image.fromarray(pixels).save(folder / f"{stem}.png")
        Image.fromarray(labels).save(folder / f"{stem}{suffix}.png")
    Image.fromarray(labels[:, ::-1].copy()).save(folder / "other_masks.png")
    Image.fromarray(np.dstack([pixels, 255 * (labels == 1)]).astype(np.uint8)).save(folder / "cut.png")
    Image.fromarray(pixels[:32]).save(folder / "panorama.png")
    recipe = DataRecipe("floor", count=2, seed=4, size=32, supersample=1, with_meshes=False, scenes_per_shard=1)
    job = {"image": "room.png", "masks": ["room_masks.png"], "system": "cuboid"}
    (folder / "jobs.jsonl").write_text(json.dumps({"name": "room", "kind": "generate", "settings": job}))
    (folder / "data.toml").write_text("".join(f"{line}\n" for line in _toml(recipe)))
    (folder / "recipe.toml").write_text(_RECIPE)
    write_samples("structure_vae", folder / "samples", 4)
    for name, masks in (("made", "room_masks"), ("other", "other_masks")):
        (folder / name).mkdir()
        words = ["generate", f"{folder}/room.png", "-m", f"{folder}/{masks}.png", "-o", f"{folder}/{name}/room.glb"]
        code, printed = run([*words, *CUBOID])
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


def run_in_fork(words: Sequence[str], prepare: Callable[[], object] = lambda: None) -> tuple[int, str]:
    """Exit code and output of a command line in a fork."""
    return finish(*start(words, prepare))


def warm_up(inputs: Path, out: Path, commands: Sequence[Command] = COMMANDS) -> None:
    """Runs commands once in this process, so that forks find everything imported and compiled."""
    for command in commands:
        folder = out / command.name.replace(" ", "_")
        folder.mkdir(parents=True)
        with contextlib.suppress(SystemExit):
            app(command.words(inputs, folder))
