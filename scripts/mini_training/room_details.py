"""Training shards of mini's detail flows: latents of made rooms' parts on the room's own grid of 256.

    FOLDER/details/{shape,texture}/{train,validation}    shards of `room_sets.RoomDetails` samples, one for each chunk

A voxel of a 5 m room is then as large as one of a 1.3 m object in its own cube, which the shared autoencoders know; the
latents of a room lie on the coarse stage's 32^3 cells. Chunk 0 is for validation. The whole room, whose content its
parts hold again, is left out: its tokens would double the cost. Latents are normalised as the objects' are.

Legend: S face side.
"""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.data.selection import Selector
from scenewright.data.shards import is_whole
from scenewright.data.tensor_shards import write_tensor_shard
from scenewright.geometry.camera.cubemap import wide_cube_faces
from scenewright.io.atomic import make_folder
from scenewright.systems.inspace.made_details import detail_samples, voxel_parts
from scenewright.systems.inspace.made_rooms import RoomModel, made_room
from scenewright.systems.mini.panorama_system import face_pictures
from scenewright.systems.mini.sizes import ROOM_FACE_SIZE, ROOM_VOXELS
from scenewright.systems.single_object.latent_preparation import read_statistics
from scripts.mini_training.encoding import relit
from scripts.mini_training.latent_examples import LatentEncoders

__all__ = ["ROOMS_PER_CHUNK", "model_of", "relit_faces", "write_details"]

ROOMS_PER_CHUNK = 8


def model_of(selector: Selector, seed: int, number: int) -> RoomModel | None:
    """Room `number` of a seed; None where it has no free spot for a camera."""
    return made_room(selector, np.random.default_rng([seed, number]))


def write_details(
    selector: Selector, encoders: LatentEncoders, statistics: Path, folder: Path, *, seed: int, chunk: int
) -> None:
    """One chunk of rooms; left alone if it is there."""
    split = "train" if chunk else "validation"
    places = {kind: folder / kind / split for kind in ("shape", "texture")}
    if all(is_whole(place, chunk) for place in places.values()):
        return
    generator, samples = torch.Generator().manual_seed(chunk), []
    for number in range(chunk * ROOMS_PER_CHUNK, (chunk + 1) * ROOMS_PER_CHUNK):
        model = model_of(selector, seed, number)
        if model is None:
            continue
        room = model.room
        faces = wide_cube_faces(torch.from_numpy(room.rgb).float(), ROOM_FACE_SIZE).round().clamp(0, 255).byte()
        made = detail_samples(
            voxel_parts(model, ROOM_VOXELS, with_room=False),
            encoders.latents,
            torch.from_numpy(room.boxes),
            torch.from_numpy(room.camera),
            encoders.conditioner(relit_faces(face_pictures(faces), generator)),
            read_statistics(statistics),
        )
        samples.append((f"{number:05d}", made))
    for kind, place in places.items():
        make_folder(place)
        write_tensor_shard(place, chunk, [(key, sample[kind]) for key, sample in samples])


def relit_faces(pictures: Float[Tensor, "6 4 S S"], generator: torch.Generator) -> Float[Tensor, "6 4 S S"]:
    """Random light, the same for all faces."""
    strip = pictures.permute(1, 0, 2, 3).flatten(1, 2)
    return relit(strip[None], generator)[0].unflatten(1, (6, -1)).permute(1, 0, 2, 3)
