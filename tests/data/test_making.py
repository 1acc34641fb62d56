"""Making data: same bytes on two runs, cut shards redone, recipes checked, the compact pack read back."""

import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from scenewright.data.asset import Credit
from scenewright.data.catalogue import find_models
from scenewright.data.compact_pack import CompactPack
from scenewright.data.compact_writing import write_compact_pack
from scenewright.data.ground_truth import ObjectView, ViewRules, object_views, prepare_scene
from scenewright.data.importing import import_models
from scenewright.data.library import TrainingLibrary
from scenewright.data.making import make_data
from scenewright.data.occupancy import surface_occupancy
from scenewright.data.parametric import make_object
from scenewright.data.recipes import DataRecipe, load_recipe
from scenewright.data.shards import Sample, ShardReader, is_whole, write_shard
from scenewright.data.stream import SceneStream
from scenewright.errors import InputError
from scenewright.io.glb import glb_bytes
from scenewright.types import Scene, SceneObject

SMALL = DataRecipe("floor", count=3, seed=1, size=48, supersample=1, scenes_per_shard=2)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made")
    make_data(SMALL, out)
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_two_runs_give_the_same_bytes(made: Path, tmp_path: Path) -> None:
    make_data(SMALL, tmp_path)
    assert contents(tmp_path) == contents(made)


def test_a_cut_shard_is_seen_and_made_again(made: Path, tmp_path: Path) -> None:
    for name, content in contents(made).items():
        (tmp_path / name).write_bytes(content)
    tar = tmp_path / "shard-00000.tar"
    tar.write_bytes(tar.read_bytes()[:-700])
    with pytest.raises(InputError, match="cut off"):
        ShardReader(tmp_path)
    result = make_data(SMALL, tmp_path)
    assert (result.shards_made, result.shards_kept) == (1, 1)
    assert contents(tmp_path) == contents(made)


def test_another_recipe_does_not_mix_in(made: Path) -> None:
    with pytest.raises(InputError, match="another recipe"):
        make_data(DataRecipe("floor", count=3, seed=2, size=48, supersample=1, scenes_per_shard=2), made)


def test_samples_hold_exact_masks_depth_and_boxes(made: Path) -> None:
    for sample in ShardReader(made):
        meta = json.loads(sample.files["scene.json"])
        instances = np.array(Image.open(io.BytesIO(sample.files["instances.png"])))
        depth = np.array(Image.open(io.BytesIO(sample.files["depth_mm.png"]))).astype(float) / 1000
        assert Image.open(io.BytesIO(sample.files["rgb.jpg"])).size == (48, 48)
        (view,) = meta["views"]
        pose, intrinsics = np.array(view["cam_from_world"]), np.array(view["intrinsics_px"])
        assert set(np.unique(instances)) - {0} == {item["instance"] for item in meta["objects"]}
        for item, seen in zip(meta["objects"], view["objects"], strict=True):
            mask = instances == item["instance"]
            assert mask.sum() == seen["visible_pixels"] <= seen["amodal_pixels"]
            # Depth under the mask, taken back to the world, lies in the object's box.
            rows, columns = np.nonzero(mask)
            rays = np.stack([columns + 0.5, rows + 0.5, np.ones(len(rows))]) * depth[mask]
            points = np.linalg.inv(pose) @ np.concatenate([np.linalg.inv(intrinsics) @ rays, np.ones((1, len(rows)))])
            box = item["obb"]
            c, s = np.cos(box["yaw"]), np.sin(box["yaw"])
            local = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ (points[:3] - np.array(box["center"])[:, None])
            assert (np.abs(local) <= np.array(box["size"])[:, None] / 2 + 0.01).all()


def test_every_kind_streams_and_resumes() -> None:
    for kind in ("random", "room", "panorama", "walk"):
        stream = SceneStream(DataRecipe(kind, count=3, size=32, views=2))
        again = SceneStream(stream.recipe)
        rest = [[placed.position for placed in scene.objects] for scene in stream.iterate(start=2)]
        expected = again.scene(2)
        assert expected is not None
        assert rest == [[placed.position for placed in expected.objects]]
        if kind == "room":
            prepared = prepare_scene(expected)
            assert all(prepared.num_seen(camera, shrink=1) >= 1 for camera in expected.cameras)


def test_shards_are_reproducible_and_random_access(tmp_path: Path) -> None:
    samples = [Sample(f"{i:03d}", {"a.txt": b"x" * i, "b.bin": bytes([i])}) for i in range(5)]
    write_shard(tmp_path, 0, samples)
    first = contents(tmp_path)
    write_shard(tmp_path, 0, samples)
    assert contents(tmp_path) == first
    reader = ShardReader(tmp_path)
    assert [dict(reader[s.key].files) for s in samples] == [dict(s.files) for s in samples]
    assert is_whole(tmp_path, 0)
    (tmp_path / "twice").mkdir()
    write_shard(tmp_path / "twice", 0, samples)
    write_shard(tmp_path / "twice", 1, samples[4:])
    with pytest.raises(InputError, match=r"both hold a sample '004', so one would never be read"):
        ShardReader(tmp_path / "twice")
    tar = tmp_path / "shard-00000.tar"
    damaged = bytearray(tar.read_bytes())
    damaged[600] ^= 1
    tar.write_bytes(damaged)
    assert not is_whole(tmp_path, 0)
    (tmp_path / "shard-00000.json").unlink()
    with pytest.raises(InputError, match="does not exist"):
        ShardReader(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('kind = "flor"', "floor, random"),
        ("coutn = 3", "Did you mean 'count'"),
        ("count = 0", "count from 1"),
        ('count = "many"', "count: Input should be a valid integer"),
        ("count = ", "not a data recipe in TOML"),
        ("parametric_share = 2.0", "from 0 to 1"),
    ],
)
def test_bad_recipes(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_recipe(str(path))


def test_recipes_by_name_and_with_overrides() -> None:
    assert load_recipe("random", count=7, seed=None).count == 7
    with pytest.raises(InputError, match="got 'nothing'"):
        load_recipe("nothing")


def test_visibility_by_hand() -> None:
    instance = torch.tensor([[0, 1, 1, 0], [0, 2, 1, 0], [0, 0, 0, 0]])
    alone = torch.tensor([[False, True, True, False], [False, True, True, False], [False] * 4])
    first, second = object_views(instance, [alone, instance == 2])
    assert first == ObjectView(3, 4, (1, 0, 3, 2), touches_border=True)
    assert first.visible_fraction == 0.75
    assert second.obeys(ViewRules(min_picture_share=0.05), 12)
    assert not second.obeys(ViewRules(min_picture_share=0.1), 12)
    assert not first.obeys(ViewRules(), 12)
    assert not ObjectView(0, 9, (0, 0, 0, 0), touches_border=False).obeys(ViewRules(0.0, 0.0), 12)


def test_a_compact_pack_comes_back(tmp_path: Path) -> None:
    library = TrainingLibrary(families=("chair", "vase", "plant"))
    paths = [tmp_path / "a.tar", tmp_path / "b.tar"]
    for path in paths:
        summary = write_compact_pack(library, path, parametric=6, seed=2)
    assert summary.assets == 6
    assert paths[0].read_bytes() == paths[1].read_bytes()
    pack = CompactPack(paths[0])
    for model_id in pack.ids:
        asset = pack[model_id].asset
        family, seed = model_id.removeprefix("param_").rsplit("_", 1)
        original = make_object(family, int(seed))
        assert asset.size_m == pytest.approx(original.size_m, abs=2e-3)
        assert len(asset.parts) == len(original.parts)
        assert torch.equal(pack.occupancy(model_id, 64), surface_occupancy(original, 64))
    paths[1].write_bytes(paths[0].read_bytes()[:5000])
    with pytest.raises(InputError, match="compact pack"):
        CompactPack(paths[1])
    with pytest.raises(InputError, match="not at 16"):
        pack.occupancy(pack.ids[0], 16)


def test_scenes_come_from_a_compact_pack_alone(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    for family in ("chair", "table", "cabinet"):
        parts = make_object(family, 5).parts
        (models / f"my {family}.glb").write_bytes(glb_bytes(Scene((SceneObject(family, parts),))))
    import_models(find_models(models, credit=Credit(creator="Ann", licence="CC0")), tmp_path / "pack")
    path = tmp_path / "compact.tar"
    write_compact_pack(TrainingLibrary([tmp_path / "pack"]), path, parametric=2)
    shutil.rmtree(tmp_path / "pack")
    library = TrainingLibrary([path])
    assert len(library) == 3
    with tarfile.open(path) as archive:
        table = archive.extractfile("ATTRIBUTION.csv")
        assert table is not None
        assert table.read().count(b"Ann") == 3
    stream = SceneStream(DataRecipe("floor", count=1, size=48, packs=(str(path),), parametric_share=0.0, supersample=1))
    scene = stream.scene(0)
    assert scene is not None
    assert {placed.asset.id for placed in scene.objects} <= set(library.rows)
    picture = prepare_scene(scene, shadow_size=64).picture(scene.cameras[0], supersample=1)
    assert set(picture.instance.unique().tolist()) - {0} == set(range(1, len(scene.objects) + 1))


def test_a_simplified_asset_keeps_its_box_and_stands_on_the_floor(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(5, radius=0.5)  # 20 480 faces, one lowest vertex
    (tmp_path / "my_ball.glb").write_bytes(ball.export(file_type="glb"))
    import_models(find_models(tmp_path), tmp_path / "pack")
    write_compact_pack(TrainingLibrary([tmp_path / "pack"]), tmp_path / "compact.tar", parametric=0)
    (source,) = CompactPack(tmp_path / "compact.tar")
    assert source.asset.num_faces < 6000
    assert source.asset.size_m == pytest.approx((1, 1, 1), abs=1e-3)
    points = torch.cat([part.vertices for part in source.asset.parts])
    assert float(points[:, 2].min()) == pytest.approx(0.0, abs=1e-6)
