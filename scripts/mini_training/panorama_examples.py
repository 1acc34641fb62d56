"""Training shards of mini's InSpace networks from made rooms (`systems.inspace.made_rooms`).

    FOLDER/rooms/rooms-*.npz -> FOLDER/structure/{train,validation}/   latent, partial, tokens, camera
                                FOLDER/boxes/{train,validation}/       occupancy, seen, boxes

Every room is encoded under all four quarter turns, every other one mirrored. Every tenth file is for validation. Shards
that exist are left alone.

Legend: T tokens per face, R grid side.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.backbones.structure_vae import StructureEncoder
from scenewright.data.shards import is_whole
from scenewright.data.tensor_shards import write_tensor_shard
from scenewright.geometry.camera.cubemap import wide_cube_faces
from scenewright.progress import Advance, ignore
from scenewright.systems.inspace.made_rooms import MadeRoom, read_rooms
from scenewright.systems.inspace.room_sets import quarter_turned
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.panorama_cells import coarsened
from scenewright.systems.mini.panorama_system import face_pictures
from scenewright.systems.mini.sizes import ROOM_FACE_SIZE
from scripts.mini_training.room_details import relit_faces

__all__ = ["encode_rooms", "folded"]

_VALIDATION_EVERY = 10


def encode_rooms(
    folder: Path, conditioner: PictureConditioner, encoder: StructureEncoder, progress: Advance = ignore
) -> None:
    """Shards of all files of rooms in `folder` that have none yet."""
    files = sorted((folder / "rooms").glob("rooms-*.npz"))
    for number, path in enumerate(files):
        split = "validation" if number % _VALIDATION_EVERY == _VALIDATION_EVERY - 1 else "train"
        generator = torch.Generator().manual_seed(number)
        structures, boxes = (folder / kind / split for kind in ("structure", "boxes"))
        if not is_whole(boxes, number):
            structures.mkdir(parents=True, exist_ok=True)
            boxes.mkdir(parents=True, exist_ok=True)
            rooms = read_rooms(path)
            samples = [sample for room in rooms for sample in _structure_samples(room, conditioner, encoder, generator)]
            # Keys differ from shard to shard: a set knows its samples by them.
            named = [(f"{number:05d}-{k:03d}", sample) for k, sample in enumerate(samples)]
            write_tensor_shard(structures, number, named)
            named = [(f"{number:05d}-{k:03d}", _box_sample(room)) for k, room in enumerate(rooms)]
            write_tensor_shard(boxes, number, named)
        progress(number + 1, len(files))


@torch.no_grad()
def _structure_samples(
    room: MadeRoom, conditioner: PictureConditioner, encoder: StructureEncoder, generator: torch.Generator
) -> Iterator[dict[str, Tensor]]:
    whole, seen = (coarsened(torch.from_numpy(grid)) for grid in (room.room, room.seen))
    place = torch.zeros(1, 7)
    place[0, :3] = torch.from_numpy(room.camera)
    for quarters in range(4):
        mirrored = quarters % 2 == 1
        rgb = torch.from_numpy(room.rgb)
        if mirrored:
            rgb = rgb.flip(1)
        rgb = rgb.roll(-quarters * rgb.shape[1] // 4, 1)
        turned = [quarter_turned(grid, place, quarters, is_mirrored=mirrored) for grid in (whole, seen)]
        latents = encoder(torch.stack([grid for grid, _ in turned])[:, None].float())[0].half()
        faces = wide_cube_faces(rgb.float(), ROOM_FACE_SIZE).round().clamp(0, 255).byte()
        yield {
            "latent": latents[0],
            "partial": latents[1],
            "tokens": conditioner(relit_faces(face_pictures(faces), generator)).half(),
            "camera": turned[0][1][0, :3],
        }


def _box_sample(room: MadeRoom) -> dict[str, Tensor]:
    return {
        "occupancy": coarsened(torch.from_numpy(room.room)),
        "seen": coarsened(torch.from_numpy(room.seen)),
        "boxes": folded(torch.from_numpy(room.boxes)),
    }


def folded(boxes: Float[Tensor, "N 7"]) -> Float[Tensor, "N 7"]:
    """The same boxes with a yaw within 45 degrees of 0.

    Coarse cells do not show which side of a piece of furniture is its front; a network that guesses it confuses width
    and depth, too.
    """
    quarters = (boxes[:, 6] / (math.pi / 2)).round()
    size = torch.where((quarters % 2 == 1)[:, None], boxes[:, [4, 3, 5]], boxes[:, 3:6])
    return torch.cat([boxes[:, :3], size, (boxes[:, 6] - quarters * math.pi / 2)[:, None]], 1)
