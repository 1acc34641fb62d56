"""SAGE-10k: a made room in the toolkit's layout becomes shards that the flows' tasks train on."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from scenewright.data.tensor_shards import TensorShardSet
from scenewright.errors import InputError
from scenewright.geometry.camera.cameras import look_at
from scenewright.geometry.camera.patches import patch_of_points
from scenewright.geometry.frames import CVCAM_FROM_GLTFCAM
from scenewright.systems.genrecon.sage_chunks import find_sage_chunks, write_sage_shards
from scenewright.weights.record import LatentStatistics

STATISTICS = {name: LatentStatistics((1.0,) * 4, (2.0,) * 4) for name in ("shape", "texture")}
SIZE_M, CENTRE = 2.8, np.array([1.5, 1.0, 1.4])
VIEWS = ("covers", "behind", "empty")


def encode(pixels: Tensor) -> Tensor:
    """Nine patches of 2 x 2 pixels behind five other tokens: the mean colour of each."""
    patches = pixels.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)).flatten(2).transpose(1, 2)
    return torch.cat([torch.zeros(len(pixels), 5, 3), patches], 1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One room with two chunks; three pictures, one of which sees the first chunk."""
    chunk_from_room = np.diag([1 / SIZE_M] * 3 + [1.0])
    chunk_from_room[:3, 3] = -CENTRE / SIZE_M
    entries = [{"index": k, "crop_size": SIZE_M, "M_original_to_chunk": chunk_from_room.tolist()} for k in range(2)]
    rendered = tmp_path / "renders_room" / "room-a"
    rendered.mkdir(parents=True)
    (tmp_path / "crops").mkdir()
    (tmp_path / "crops" / "room-a.json").write_text(json.dumps({"scene_id": "room-a", "chunks": entries}))
    frames = []
    for name in VIEWS:
        eye = torch.from_numpy(CENTRE - [3.0, 0, 0])
        ahead = torch.tensor([-1.0 if name == "behind" else 1.0, 0, 0])
        cam_from_world = look_at(eye, eye + ahead).numpy()
        pose = np.linalg.inv(CVCAM_FROM_GLTFCAM.numpy() @ cam_from_world)
        frames.append({"file_path": f"{name}.png", "camera_angle_x": 0.9, "transform_matrix": pose.tolist()})
        pixels = np.zeros((24, 24, 4), np.uint8)
        if name != "empty":
            # What is there fills a square whose corner pixels are the borders of the cut: 13 pixels from (6, 4).
            pixels[4:17, 6:19] = (0, 255, 0, 255)
            pixels[4:17, 6:12] = (255, 0, 0, 255)
        Image.fromarray(pixels).save(rendered / f"{name}.png")
    (rendered / "transforms.json").write_text(json.dumps({"frames": frames}))
    for kind in ("shape", "pbr"):
        folder = tmp_path / f"{kind}_latents" / "encoder_512"
        folder.mkdir(parents=True)
        coords = np.arange(30, dtype=np.uint8).reshape(10, 3)
        np.savez_compressed(folder / "room-a_0000.npz", coords=coords, feats=np.full((10, 4), 5.0, np.float32))
    folder = tmp_path / "ss_latents" / "encoder_64"
    folder.mkdir(parents=True)
    np.savez_compressed(folder / "room-a_0000.npz", z=np.ones((8, 4, 4, 4), np.float32))
    return tmp_path


def test_a_structure_sample_sees_its_chunk_through_the_cut_picture(root: Path, tmp_path: Path) -> None:
    chunks = find_sage_chunks(root)
    assert [chunk.name for chunk in chunks] == ["room-a_0000", "room-a_0001"]
    # The second chunk was not encoded.
    assert write_sage_shards(chunks, tmp_path / "out", "structure", encode, image_size=6, max_views=3) == 1
    samples = TensorShardSet(tmp_path / "out", names=("latent", "tokens", "cam_from_chunk", "intrinsics_unit"))
    assert len(samples) == 1
    sample = samples.tensors(0)
    assert sample["latent"].shape == (8, 4, 4, 4)
    assert sample["tokens"].shape == (3, 14, 3)
    there = sample["cam_from_chunk"].flatten(1).abs().sum(1) > 0
    assert there.tolist() == [True, False, False]
    assert not sample["tokens"][1:].any()
    # Left of the picture's middle is red, right of it green; the chunk's middle lies on the optical axis.
    pose, unit = sample["cam_from_chunk"][:1], sample["intrinsics_unit"][:1]
    assert float((torch.tensor([0.0, 0, 0, 1]) @ pose[0].T)[2]) == pytest.approx(3.0, abs=1e-4)
    focal = 0.5 / np.tan(0.45) * 24 / 12
    torch.testing.assert_close(unit[0, 0], torch.tensor([focal, 0.0, (12 - 6) / 12]).float())
    points = torch.tensor([[0.0, 0.15, 0.1], [0.0, -0.15, 0.1]])  # looking along +x, +y is to the left
    patch, seen = patch_of_points(points, pose, unit, 3)
    assert seen.all()
    colors = sample["tokens"][0, 5 + patch[0]]
    assert colors[0, 0] > 0.9
    assert colors[1, 1] > 0.9


def test_texture_samples_hold_both_latents_normalised(root: Path, tmp_path: Path) -> None:
    chunks, out = find_sage_chunks(root), tmp_path / "out"
    assert write_sage_shards(chunks, out / "none", "shape", encode, STATISTICS, image_size=6) == 2  # too few tokens
    write = partial(write_sage_shards, chunks, image_size=6, min_tokens=10)
    assert write(out, "texture", encode, STATISTICS) == 1
    sample = TensorShardSet(out).tensors(0)
    assert sample["coords"].dtype == torch.int32
    torch.testing.assert_close(sample["latent"], torch.full((10, 4), 2.0).half())
    torch.testing.assert_close(sample["shape_latent"], torch.full((10, 4), 2.0).half())
    moved = root / "shape_latents/encoder_512/room-a_0000.npz"
    np.savez(moved, coords=np.zeros((10, 3), np.uint8), feats=np.zeros((10, 4), np.float32))
    with pytest.raises(InputError, match="room-a_0000' have other voxels"):
        write(tmp_path / "again", "texture", encode, STATISTICS)


def test_bad_folders_are_told(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no room"):
        find_sage_chunks(tmp_path / "crops")
    chunks = find_sage_chunks(root)
    with pytest.raises(InputError, match="need the statistics"):
        write_sage_shards(chunks, tmp_path / "out", "shape", encode)
    latent = root / "ss_latents/encoder_64/room-a_0000.npz"
    latent.write_bytes(latent.read_bytes()[:60])
    with pytest.raises(InputError, match=r"room-a_0000\.npz"):
        write_sage_shards(chunks, tmp_path / "out", "structure", encode, image_size=6)
    (root / "crops/room-a.json").write_text('{"chunks": [{"index": 0}]}')
    with pytest.raises(InputError, match=r"room-a\.json"):
        find_sage_chunks(root)
