"""Kills commands that write, at random moments, and looks at what they leave.

    uv run python -m tests.faults.kills --kills 200

After every kill: each file under its final name is that of the run before or of the finished run, byte for byte, and
whatever vouches for others (a manifest, an .obj, an index) lies beside those it speaks of. Then the same command is run
to its end: it leaves the bytes of a run that nobody killed, and nothing hidden. Half of the kills of the commands that
can go over an older result do so.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from fnmatch import fnmatch
from pathlib import Path

from scenewright.data.shards import is_whole
from tests.faults.commands import COMMANDS, Command, finish, make_inputs, run_in_fork, start, warm_up

Generation = dict[str, str]
"""SHA-256 of every finished file, by its path in the folder of outputs."""
_HAS_OLDER = ("generate", "convert", "convert to glTF", "render")
_NAMES = [command.name for command in COMMANDS]
_MINI = Command(
    "generate with mini",
    ("generate", "IN/room.png", "-m", "IN/room_masks.png", "-o", "OUT/room.glb")
    + ("--weights", "mini", "--steps", "1", "--device", "cpu"),
)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def finished_files(folder: Path) -> dict[str, Path]:
    paths = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {str(name): path for name, path in paths.items() if not any(part.startswith(".") for part in name.parts)}


def generation_of(folder: Path) -> Generation:
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in finished_files(folder).items()}


def problems(folder: Path, generations: list[Generation], varies: tuple[str, ...] = ()) -> list[str]:
    """Sentences about torn files and mixed sets; `generations` are the results that may lie there.

    Of files whose names fit `varies`, nothing is said: their bytes differ from run to run.
    """
    found, here = [], generation_of(folder)
    for name, path in finished_files(folder).items():
        if any(fnmatch(name, pattern) for pattern in varies):
            continue
        if path.suffix == ".json":  # of times and places, so that its bytes differ from run to run
            try:
                content = json.loads(path.read_text())
            except ValueError:
                found.append(f"{name} is torn")
                continue
            if name.startswith("data/shard-") and not is_whole(path.parent, int(path.stem[-5:])):
                found.append(f"{name} speaks of another shard")
            if isinstance(content, dict) and "scene_sha256" in content:
                found += _strangers(name, here, [g for g in generations if content["scene_sha256"] in g.values()])
        elif here[name] not in [generation.get(name) for generation in generations]:
            found.append(f"{name} is torn")
        elif path.suffix in (".obj", ".gltf", ".csv"):
            found += _strangers(name, here, [g for g in generations if g.get(name) == here[name]])
    return found


def _strangers(name: str, here: Generation, generations: list[Generation]) -> list[str]:
    """Whether any generation has all files beside the one of that name, which vouches for them."""
    folder = os.path.dirname(name)
    for generation in generations:
        wanted = {
            other: digest
            for other, digest in generation.items()
            if other.startswith(folder) and not other.endswith(".json") and _belongs(name, other)
        }
        if all(here.get(other) == digest for other, digest in wanted.items()):
            return []
    return [f"{name} lies beside files of another run"]


def _belongs(name: str, other: str) -> bool:
    return name.endswith("index.csv") or Path(other).name.startswith(Path(name).stem)


def kill_once(command: Command, inputs: Path, out: Path, seconds: float, generations: list[Generation]) -> list[str]:
    """Problems after a kill that comes so many seconds after the start, and after the run that follows."""
    process, source = start(command.words(inputs, out))
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    finish(process, source)
    found = [f"after the kill: {problem}" for problem in problems(out, generations, command.varies)]
    code, printed = run_in_fork(command.words(inputs, out))
    if code != 0:
        return [*found, f"the next run ends with {code}: {printed[-200:]}"]
    found += [f"after the next run: {problem}" for problem in problems(out, generations[:1], command.varies)]
    hidden = list(out.rglob(".*"))
    return [*found, *(f"left behind: {path}" for path in hidden)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mini", type=int, default=2, help="Of them, kills of a run with the mini weights.")
    parser.add_argument("--command", action="append", choices=_NAMES, help="one command; repeat it for more")
    arguments = parser.parse_args()
    draw = random.Random(arguments.seed)
    commands = [command for command in COMMANDS if command.name in (arguments.command or _NAMES)]
    rest = arguments.kills - arguments.mini
    shares = [
        (command, rest // len(commands) + (index < rest % len(commands))) for index, command in enumerate(commands)
    ]
    shares = [(command, number) for command, number in [*shares, (_MINI, arguments.mini)] if number]
    failures = 0
    with tempfile.TemporaryDirectory() as place:
        inputs = make_inputs(Path(place) / "inputs")
        # But for mini: no fork of a process that has used GNU OpenMP may use it.
        warm_up(inputs, Path(place) / "warm", commands)
        for command, number in shares:
            failed = _many_kills(command, number, inputs, Path(place) / command.name.replace(" ", "_"), draw)
            _say(f"{command.name}: {number} kills, {failed} with problems")
            failures += failed
    _say(f"{arguments.kills} kills, {failures} with problems")
    raise SystemExit(1 if failures else 0)


def _many_kills(command: Command, number: int, inputs: Path, place: Path, draw: random.Random) -> int:
    whole, older = place / "whole", place / "older"
    whole.mkdir(parents=True)
    older.mkdir()
    begin = time.perf_counter()
    code, printed = run_in_fork(command.words(inputs, whole))
    duration = time.perf_counter() - begin
    assert code == 0, printed
    generations = [generation_of(whole)]
    if command.name in _HAS_OLDER:
        words = [word.replace("/made/", "/other/").replace("room_masks", "other_masks") for word in command.arguments]
        assert run_in_fork(Command("", tuple(words)).words(inputs, older))[0] == 0
        generations.append(generation_of(older))
    failed = 0
    for index in range(number):
        out = place / str(index)
        if len(generations) > 1 and index % 2:
            shutil.copytree(older, out)
        else:
            out.mkdir()
        found = kill_once(command, inputs, out, draw.uniform(0, 1.05 * duration), generations)
        for problem in found:
            _say(f"{command.name}, kill {index}: {problem}")
        failed += bool(found)
        shutil.rmtree(out)
    return failed


if __name__ == "__main__":
    main()
