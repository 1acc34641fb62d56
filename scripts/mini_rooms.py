"""Makes the training rooms of mini's room network; may be stopped and started again at any time.

    python -m scripts.mini_rooms make FOLDER PACK.zip [PACK2.zip] --rooms 200 --workers 2
    scenewright train mini_genrecon_rooms --data FOLDER --out RUN --resume
    python -m scripts.mini_rooms places FOLDER PACK.zip [PACK2.zip] --rooms 4     # validation rooms, to be scored
    python -m scripts.mini_rooms export RUN [--out src/scenewright/assets/mini]

The first rooms are kept for validation.
"""

import argparse
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from scenewright.data.library import TrainingLibrary
from scenewright.data.selection import Selector
from scenewright.jobs import run
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.networks import genrecon_files, load_network, mini_folder
from scripts.mini_training.room_examples import write_room
from scripts.mini_training.room_places import write_place

SEED = 20261129
PARAMETRIC_SHARE = 0.25


@cache
def selector(packs: tuple[Path, ...]) -> Selector:
    torch.set_num_threads(1)
    return Selector(TrainingLibrary(packs), PARAMETRIC_SHARE)


@cache
def conditioner() -> PictureConditioner:
    return load_network(genrecon_files(), "conditioner", PictureConditioner)


def make_room(job: tuple[tuple[Path, ...], Path, int]) -> None:
    packs, folder, number = job
    write_room(selector(packs), conditioner(), folder, seed=SEED, number=number)


def export(run: Path, out: Path) -> None:
    """The averaged weights of a finished run in fp16."""
    weights = load_file(run / "network.safetensors")
    save_file({name: tensor.half().contiguous() for name, tensor in weights.items()}, out / "room_network.safetensors")


def show(done: int, total: int) -> None:
    print(f"{done} of {total} rooms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    make = commands.add_parser("make")
    make.add_argument("folder", type=Path)
    make.add_argument("packs", type=Path, nargs="+")
    make.add_argument("--rooms", type=int, default=200)
    make.add_argument("--workers", type=int, default=1)
    places = commands.add_parser("places")
    places.add_argument("folder", type=Path)
    places.add_argument("packs", type=Path, nargs="+")
    places.add_argument("--rooms", type=int, default=4)
    ship = commands.add_parser("export")
    ship.add_argument("run", type=Path)
    ship.add_argument("--out", type=Path, default=mini_folder())
    args = parser.parse_args()
    if args.command == "export":
        export(args.run, args.out)
        return
    if args.command == "places":
        for number in range(args.rooms):
            write_place(selector(tuple(args.packs)), args.folder, seed=SEED, number=number)
        return
    jobs = [(tuple(args.packs), args.folder, number) for number in range(args.rooms)]
    run(make_room, jobs, workers=args.workers, progress=show)


if __name__ == "__main__":
    main()
