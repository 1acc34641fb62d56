"""ERP-FRONT-30K: a tiny room in its layout becomes shards for every task; pickles that run code are refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.data.tensor_shards import TensorShardSet
from scenewright.errors import InputError
from scenewright.io.ply import vertex_ply_bytes
from scenewright.systems.inspace.erp_front import find_erp_rooms, write_erp_shards
from scenewright.systems.inspace.room_frame import FACE_NAMES
from scenewright.systems.inspace.room_sets import open_boxes, open_details
from scenewright.weights.record import LatentStatistics

STATISTICS = {name: LatentStatistics((0.0,) * 4, (2.0,) * 4) for name in ("shape", "texture")}


def encode(faces: torch.Tensor) -> torch.Tensor:
    return faces[:, :3, :1].flatten(1, 2).float()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    room = tmp_path / "ERP_3D_FRONT_1" / "scene-a" / "Bedroom-1"
    for folder in ("mesh_dumps", "cubic_fov_120/0000", "cubic_fov_120/0001", "3d_bounding_box", "voxels_64"):
        (room / folder).mkdir(parents=True)
    views = [{"view_idx": k, "location": [1.0, 2.0 + k, 1.5]} for k in range(2)]
    (room / "camera_poses.json").write_text(json.dumps({"n_views": 2, "views": views}))
    frame = {"center": [1.0, 2.0, 1.0], "scale": 0.2}
    (room / "mesh_dumps" / "normalization_info.json").write_text(json.dumps(frame))
    for view in range(2):
        for number, name in enumerate(FACE_NAMES):
            color = (10 * number, view, 0)
            Image.new("RGB", (16, 16), color).save(room / "cubic_fov_120" / f"{view:04d}" / f"{name}.png")
    boxes = np.array([[0.3, 0.3, 0.0, 0.2, 0.2, 0.2, 0.1], [-0.3, 0.2, 0.0, 0.2, 0.2, 0.2, 0.0]])
    names = np.array(["bed_inst002.glb", "lamp_inst005.glb"], dtype=object)
    np.savez(room / "3d_bounding_box" / "Bedroom-1_scene_data.npz", obbs=boxes, asset_filenames=names)
    rows = np.array([[-0.4, 0.0, 0.4], [0.1, 0.1, 0.1]], dtype=np.float32)
    (room / "voxels_64" / "full_room_wo_ceiling.ply").write_bytes(vertex_ply_bytes(("x", "y", "z"), rows))
    latents = room / "ss_latents" / "encoder_64"
    latents.mkdir(parents=True)
    np.savez(latents / "full_room_wo_ceiling.npz", z=np.ones((8, 4, 4, 4), dtype=np.float32))
    for kind in ("shape_latents", "pbr_latents"):
        folder = room / kind / "encoder_512" / "individual_assets_room_coord"
        folder.mkdir(parents=True)
        for name, count in (("../full_room_wo_ceiling", 5), ("../layout_wo_ceiling", 3), ("bed_inst002", 2)):
            coords = np.arange(3 * count).reshape(count, 3) % 32
            np.savez(folder / f"{name}.npz", coords=coords.astype(np.int32), feats=np.full((count, 4), 4.0, np.float32))
    split = {"train_scenes": ["scene-a"], "test_scenes": ["scene-b"]}
    (tmp_path / "train_test_scene_mapping.json").write_text(json.dumps(split))
    return tmp_path


def test_every_view_is_a_structure_sample_with_its_camera_in_the_cube(root: Path, tmp_path: Path) -> None:
    rooms = find_erp_rooms(root)
    assert write_erp_shards(rooms, tmp_path / "out", "structure", encode) == 0
    shards = TensorShardSet(tmp_path / "out")
    assert len(shards) == 2
    second = shards.tensors(1)
    torch.testing.assert_close(second["camera"], torch.tensor([0.0, 0.2, 0.1]))
    assert second["tokens"].shape == (6, 3, 3)
    assert second["tokens"][:, 0, 0].tolist() == [0, 10, 20, 30, 40, 50]
    assert second["tokens"][0, 0, 1] == 1


def test_boxes_and_occupancy_are_read_in_the_cube(root: Path, tmp_path: Path) -> None:
    write_erp_shards(find_erp_rooms(root), tmp_path / "out", "boxes", encode)
    sample = open_boxes(tmp_path / "out")[0].sample(0, torch.Generator())
    assert sample["occupancy"][0].nonzero().tolist() == [[6, 32, 57], [38, 38, 38]]
    assert sample["boxes"].shape == (2, 7)


@pytest.mark.parametrize("kind", ["shape", "texture"])
def test_parts_are_paired_by_instance_number_and_normalised(root: Path, tmp_path: Path, kind: str) -> None:
    write_erp_shards(find_erp_rooms(root), tmp_path / "out", kind, encode, STATISTICS)  # type: ignore[arg-type]
    sample = open_details(tmp_path / "out")[0].sample(0, torch.Generator())["samples"]
    assert [(part.kind, len(part.coords)) for part in sample.parts.parts] == [("room", 5), ("layout", 3), ("asset", 2)]
    assert bool((sample.feats == 2).all())
    torch.testing.assert_close(sample.boxes, torch.tensor([[0.3, 0.3, 0.0, 0.2, 0.2, 0.2, 0.1]]))
    assert (sample.shape is None) == (kind == "shape")


def test_test_scenes_stay_out_and_pickled_code_is_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="None of the 1 scenes for 'test'"):
        find_erp_rooms(root, "test")

    class Evil:
        def __reduce__(self) -> tuple:
            return (print, ("run",))

    (path,) = root.rglob("*_scene_data.npz")
    np.savez(path, obbs=np.zeros((1, 7)), asset_filenames=np.array([Evil()], dtype=object))
    with pytest.raises(InputError, match=r"it asks for builtins\.print"):
        write_erp_shards(find_erp_rooms(root), tmp_path / "out", "boxes", encode)


def test_rooms_that_lack_a_file_are_counted(root: Path, tmp_path: Path) -> None:
    next(root.rglob("voxels_64/*.ply")).unlink()
    assert write_erp_shards(find_erp_rooms(root), tmp_path / "out", "boxes", encode) == 1
