"""Readers and the files they are given: a folder of whole files, which of them is damaged, and the call that reads."""

import csv
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import DepthAnythingForDepthEstimation

from scenewright.backbones.trellis1.pretrained import trellis1_networks
from scenewright.backbones.trellis2.pretrained import trellis2_networks
from scenewright.data.asset import Asset
from scenewright.data.catalogue import find_models, read_entry
from scenewright.data.compact_pack import COMPACT_VERSION, CompactPack
from scenewright.data.compact_writing import _encode, _index_row
from scenewright.data.model_pack import ModelPack
from scenewright.data.probe_scenes import read_test_scene
from scenewright.data.recipes import load_recipe
from scenewright.data.shards import Sample, ShardReader, write_shard
from scenewright.encoders.masks import load_masks
from scenewright.encoders.masks.coco import encode_counts
from scenewright.encoders.masks.prompts import read_prompts
from scenewright.evaluation.compare import compare_results, read_result
from scenewright.io.archives import read_npy
from scenewright.io.colmap import read_colmap
from scenewright.io.data_file import load_data, save_data
from scenewright.io.glb import save_glb, save_gltf
from scenewright.io.images import load_image
from scenewright.io.obj import save_obj
from scenewright.io.scene_file import load_scene, save_scene
from scenewright.io.transforms_json import read_transforms_json
from scenewright.io.voxel_file import load_ovoxel, save_ovoxel
from scenewright.jobs.store import Store
from scenewright.recipes.results import trained_network
from scenewright.recipes.running import build_task
from scenewright.runs.inputs import _read_camera, read_inputs
from scenewright.runs.manifest import GenerateSettings, Manifest, read_manifest, write_manifest
from scenewright.runs.replay import refuse_unlisted_repositories
from scenewright.systems.inspace.stage_files import _boxes_of, _read_json
from scenewright.systems.iscene.package import read_package
from scenewright.systems.single_object.latent_preparation import read_statistics
from scenewright.training.checkpoint import TrainerCheckpoint, read_checkpoint, write_checkpoint
from scenewright.training.recipe import Recipe, read_recipe
from scenewright.types import DualGrid, Gaussians, Mesh, OVoxel, PBRMaterial, Scene, SceneObject, SparseVoxels
from scenewright.weights.checkpoint import open_checkpoint
from scenewright.weights.source import WeightsSource
from scenewright.weights.transformers_format import load_transformers
from tests.encoders.test_depth import write_tiny_depth

__all__ = ["TARGETS", "Target"]


@dataclass(frozen=True)
class Target:
    """`make` fills a folder; one of `files` is damaged for each input; `read` is given the folder, or that file."""

    make: Callable[[Path], object]
    files: tuple[str, ...]
    read: Callable[[Path], object]
    is_single: bool = False


def _picture(mode: str = "RGB", size: tuple[int, int] = (40, 32)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def _pictures(folder: Path) -> None:
    _picture().save(folder / "a.png")
    _picture("P").save(folder / "b.png")
    _picture("RGBA").save(folder / "c.webp")
    _picture("CMYK").save(folder / "d.jpg")
    _picture().save(folder / "e.bmp")
    _picture().save(folder / "f.jpg", exif=Image.Exif(), progressive=True)


def _labels(folder: Path) -> None:
    labels = np.zeros((32, 40), np.uint8)
    labels[4:20, 4:20], labels[8:30, 22:38] = 1, 2
    Image.fromarray(labels).save(folder / "a.png")
    palette = Image.fromarray(labels).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.save(folder / "b.png")
    Image.fromarray((labels > 0).astype(np.uint8) * 255).save(folder / "c.png")
    Image.fromarray(np.stack([labels * 100] * 3 + [(labels > 0) * 255], -1).astype(np.uint8)).save(folder / "d.webp")


def _masks(folder: Path) -> None:
    (folder / "m").mkdir()
    for number in range(2):
        mask = np.zeros((32, 40), np.uint8)
        mask[4:20, 4 + 15 * number : 18 + 15 * number] = 255
        Image.fromarray(mask).save(folder / "m" / f"{number}_mask.png")


COCO = {
    "images": [{"id": 1, "file_name": "1.jpg", "height": 32, "width": 40}, {"id": 2, "file_name": "2.jpg"}],
    "categories": [{"id": 3, "name": "chair"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 3, "segmentation": [[1, 1, 20, 1.5, 20, 20], [3, 3, 9, 9, 3, 9]]},
        {"id": 2, "image_id": 1, "category_id": 3, "segmentation": {"size": [32, 40], "counts": [100, 300, 880]}},
        {"id": 3, "image_id": 1, "segmentation": {"size": [32, 40], "counts": encode_counts([100, 300, 880])}},
        {"id": 4, "image_id": 1, "bbox": [0, 0, 4, 4]},
    ],
}


def _json(**files: object) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name, content in files.items():
            (folder / f"{name}.json").write_text(json.dumps(content))

    return make


def _scene() -> Scene:
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    texture = torch.from_numpy(np.asarray(_picture(size=(8, 8))).copy())
    material = PBRMaterial(base_color_texture=texture, normal_texture=texture, name="oak")
    part = Mesh(vertices, faces, vertex_normals=vertices, uv=vertices[:, :2], material=material)
    colored = Mesh(vertices, faces, vertex_colors=torch.ones(4, 4))
    return Scene((SceneObject("table", (part, colored)), SceneObject("chair", (part,))))


def _ovoxel() -> OVoxel:
    coords = torch.tensor([[x, y, 3] for x in range(5) for y in range(5)], dtype=torch.int32)
    grid = DualGrid(coords, torch.full((25, 3), 0.5), torch.ones(25, 3, dtype=torch.bool), 8)
    return OVoxel(grid, {"base_color": torch.full((25, 3), 128, dtype=torch.uint8)})


def _splats(folder: Path) -> None:
    rows = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    splats = Gaussians(rows, rows + 0.1, torch.eye(4)[[0] * 5], rows[:, 0], rows[:, None])
    save_scene(Scene((SceneObject("s", splats=splats),)), folder / "a.ply")


def _weights(folder: Path) -> None:
    tensors = {"a.weight": torch.ones(3, 4), "b": torch.arange(5, dtype=torch.float16)}
    save_file(tensors, folder / "a.safetensors", metadata={"x": "y"})
    torch.save(tensors, folder / "a.pt")


def _read_all(path: Path) -> None:
    with open_checkpoint(path) as checkpoint:
        for name, shape in checkpoint.shapes.items():
            checkpoint.read_into(name, torch.empty(shape))


def _manifest(folder: Path) -> None:
    _picture().save(folder / "a.jpg")
    _labels(folder)
    settings = GenerateSettings(str(folder / "a.jpg"), (str(folder / "a.png"),), "cuboid", seed=3)
    first = Manifest(
        settings, "0" * 64, "1" * 64, ("a", "b"), {}, {}, (), None, str(folder / "s.glb"), "2" * 64,
        {"a": torch.eye(4).tolist()}, {"torch": "2"}, {"warnings": []},
    )  # fmt: skip
    write_manifest(first, folder / "a.json")
    second = Manifest(
        settings, "0" * 64, "1" * 64, ("a",), {}, {"a": 1}, ("a",), first, "", "3" * 64, {}, {}, {}, (("4", "5"),)
    )
    write_manifest(second, folder / "b.json")


def _replayed(path: Path) -> None:
    manifest = read_manifest(path)
    refuse_unlisted_repositories(manifest)
    read_inputs(manifest.settings)


def _test_scene(folder: Path) -> None:
    save_glb(_scene(), folder / "gt.glb")
    _picture().save(folder / "rgb.jpg")
    labels = np.zeros((32, 40), np.uint16)
    labels[4:20, 4:20] = 1
    Image.fromarray(labels).save(folder / "instances.png")
    grid = {"01_p": np.ones((4, 3), np.uint16), "01_n": np.ones((4, 3), np.int8)}
    np.savez_compressed(folder / "gt_points.npz", **grid, **{"01_lo": np.zeros(3), "01_scale": np.float64(0.1)})
    meta = {
        "kind": "single_view", "image": "rgb.jpg", "instances": "instances.png", "gt_mesh": "gt.glb",
        "gt_points": "gt_points.npz", "width": 40, "height": 32, "floor_y": 0.0,
        "intrinsics": {"K": [[50, 0, 20], [0, 50, 16], [0, 0, 1]]}, "world_to_camera": torch.eye(4).tolist(),
        "objects": [
            {"instance": 1, "name": "x", "model_to_world": torch.eye(4).tolist(), "obb": {"size": [1, 1, 1]}}
        ],
    }  # fmt: skip
    (folder / "scene.json").write_text(json.dumps(meta))


def _asset() -> Asset:
    return Asset("a", "chair 1", "chair", _scene().objects[0].parts)


def _compact(folder: Path) -> None:
    body, _ = _encode(_asset())
    row = _index_row(_asset(), None, body) | {"origin_sha256": ""}
    assert row["sha256"] == hashlib.sha256(body).hexdigest()
    header = json.dumps({"version": COMPACT_VERSION, "split": "train", "assets": [row]}).encode()
    with tarfile.open(folder / "a.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in (("index.json", header), ("assets/a.bin", body)):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def _read_compact(path: Path) -> None:
    pack = CompactPack(path)
    for model_id in pack.ids:
        pack.occupancy(model_id, 32)
        pack[model_id]


def _model_pack(folder: Path) -> None:
    save_glb(_scene(), folder / "m.glb")
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["id", "raw_id", "name", "category", "split", "width_m", "depth_m", "height_m", "flags"])
    writer.writerow(["m", "m", "table", "Living room", "train", "1", "1", "1", ""])
    files = {"index.csv": table.getvalue().encode(), "ATTRIBUTION.csv": b"id,creator\nm,we\n"}
    with zipfile.ZipFile(folder / "pack.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**files, "glb/m.glb": (folder / "m.glb").read_bytes()}.items():
            archive.writestr(name, content)
    (folder / "pack" / "glb").mkdir(parents=True)
    (folder / "pack" / "index.csv").write_bytes(files["index.csv"])
    (folder / "pack" / "glb" / "m.glb").write_bytes((folder / "m.glb").read_bytes())


def _read_pack(path: Path) -> None:
    pack = ModelPack(path)
    for model_id in pack.rows:
        pack.read(model_id)


def _catalogue(folder: Path) -> None:
    save_obj(_scene(), folder / "m.obj")
    properties = (
        "model#1=/m/m.obj\nname#1=Chair\nid#1=c\nwidth#1=50\ndepth#1=50\nheight#1=90\n"
        "modelRotation#1=1 0 0 0 1 0 0 0 1\n"
    )
    for name in ("a.zip", "a.sh3f"):
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in sorted(folder.glob("m*")):
                archive.writestr(f"m/{path.name}", path.read_bytes())
            if name.endswith("sh3f"):
                archive.writestr("PluginFurnitureCatalog.properties", properties)


def _import(path: Path) -> None:
    for entry in find_models(path):
        read_entry(entry)


def _shards(folder: Path) -> None:
    write_shard(folder, 0, [Sample("a", {"scene.json": b"{}", "x.npy": b"123"}), Sample("b", {"y": b"4"})])


def _result(folder: Path) -> None:
    numbers = {"cd_s": 0.1, "f_s": 0.9, "accuracy": 0.1, "completeness": 0.1, "iou_b_scene": 0.5}
    one = {"truth": "a", "prediction": "b", "cd_o": 0.1, "f_o": 0.5, "iou_o": 0.5, "layout_iou": 0.4}
    record = {
        "name": "s", "status": "scored", "scene": numbers, "objects": [one], "collisions": [True, False],
        "detections": [[0.9, [True, False]]], "num_truths": 1,
    }  # fmt: skip
    result = {"protocol": "scenegen-2025", "scenes": [record, {**record, "name": "t"}], "mean": numbers}
    for name in ("a", "b"):
        (folder / f"{name}.json").write_text(json.dumps(result))


def _pipelines(folder: Path) -> None:
    from tests.tiny_trellis1 import NETWORKS as NETWORKS1
    from tests.tiny_trellis2 import NETWORKS as NETWORKS2

    sampler = {"name": "x", "args": {"sigma_min": 1e-5}, "params": {"steps": 12, "guidance_strength": 7.5}}
    statistics = {"mean": [0.0] * 4, "std": [1.0] * 4}
    parts = {
        "sparse_structure_sampler": sampler, "shape_slat_sampler": sampler, "tex_slat_sampler": sampler,
        "shape_slat_normalization": statistics, "tex_slat_normalization": statistics,
        "image_cond_model": {"name": "x", "args": {"model_name": "dinov3"}},
    }  # fmt: skip
    (folder / "two").mkdir()
    for name, (kind, arguments) in NETWORKS2.items():
        (folder / "two" / f"{name}.json").write_text(json.dumps({"name": kind, "args": arguments}))
    content = {"name": "p", "args": {**parts, "models": {name: name for name in NETWORKS2}}}
    (folder / "two" / "pipeline.json").write_text(json.dumps(content))
    (folder / "one").mkdir()
    for name, (kind, arguments) in NETWORKS1.items():
        (folder / "one" / f"{name}.json").write_text(json.dumps({"name": kind, "args": arguments}))
    old = {**sampler, "params": {"steps": 12, "cfg_strength": 7.5}}
    parts = {
        "sparse_structure_sampler": old,
        "slat_sampler": old,
        "slat_normalization": statistics,
        "image_cond_model": "dinov2",
    }
    content = {"name": "p", "args": {**parts, "models": {name: name for name in NETWORKS1}}}
    (folder / "one" / "pipeline.json").write_text(json.dumps(content))


def _read_pipelines(folder: Path) -> None:
    """All settings; then every network is built, which ends where its weights should be."""
    from scenewright.backbones.trellis1 import pretrained as one
    from scenewright.backbones.trellis2 import pretrained as two
    from scenewright.errors import WeightsError

    second = trellis2_networks(WeightsSource(folder / "two", offline=True))
    first = trellis1_networks(WeightsSource(folder / "one", offline=True))
    for networks, stages, latents in ((second, ("structure", "shape"), ("shape",)), (first, ("latent",), ("latent",))):
        for stage in stages:
            networks.sampler(stage)
        for latent in latents:
            networks.statistics(latent)
    for networks, keys in (
        (second, (two.STRUCTURE_FLOW, two.SHAPE_DECODER, two.shape_flow(512), two.STRUCTURE_DECODER)),
        (first, (one.STRUCTURE_FLOW, one.SLAT_FLOW, one.MESH_DECODER, one.GAUSSIAN_DECODER)),
    ):
        for key in keys:
            stem = networks.stem(key)
            if networks.source.holds(f"{stem}.json"):
                (folder / f"{stem}.safetensors").touch()
            try:
                networks.load(key)
            except WeightsError as error:
                if "safetensors" not in str(error):
                    raise


def _package(folder: Path) -> None:
    (folder / "base").mkdir()
    entries = {"base_model_id": "base", "config_file": "config.yaml", "denoiser_checkpoint": "d.safetensors"}
    (folder / "iscene_config.json").write_text(json.dumps(entries))
    save_file({"a": torch.ones(2)}, folder / "d.safetensors")
    arguments = "resolution: 4\n      in_channels: 8\n      out_channels: 8\n      model_channels: 32\n"
    (folder / "config.yaml").write_text(
        "models:\n  denoiser:\n    name: SparseStructureSceneContextFlowModel\n    args:\n      "
        + arguments
        + "      cond_channels: 32\n      num_blocks: 3\n      num_heads: 2\n      mlp_ratio: 2\n"
        + "      scene_context_attn_num: 1\n      exp_setting: global local\n"
        + "dataset:\n  args:\n    exp_setting: ${models.denoiser.args.exp_setting}\n"
    )


def _checkpoint(folder: Path) -> None:
    tensors = {"a": torch.ones(3)}
    state = {"step": 1, "seed": 0, "recipe": {"task": "x"}}
    write_checkpoint(folder, 1, TrainerCheckpoint(tensors, tensors, {"a": {"exp_avg": torch.ones(3)}}, state))
    (folder / "recipe.json").write_text(json.dumps({"identity": {"task": "structure_vae", "model": {}}}))


def _trained_run(folder: Path) -> None:
    model = {"network": {"channels": [4, 8], "num_res_blocks": 1, "num_res_blocks_middle": 1}}
    recipe = Recipe("mini_structure_vae", model=model)
    save_file(build_task(recipe).network.state_dict(), folder / "network.safetensors")
    (folder / "recipe.json").write_text(json.dumps({"identity": {"task": recipe.task, "model": model}}))


def _colmap(folder: Path) -> None:
    (folder / "cameras.txt").write_text("# Number of cameras: 1\n1 PINHOLE 40 32 50 50 20 16\n")
    (folder / "images.txt").write_text("1 1 0 0 0 0 0 0 1 a.jpg\n1.0 2.0 1 3.0 4.0 -1\n")
    (folder / "points3D.txt").write_text("1 0.5 0.5 0.5 255 0 0 0.1 1 0\n")


TRANSFORMS = {
    "w": 40, "h": 32, "fl_x": 50.0, "fl_y": 50.0, "cx": 20, "cy": 16, "k1": 0.0,
    "frames": [{"file_path": "a.png", "transform_matrix": torch.eye(4).tolist()}] * 2,
}  # fmt: skip
CAMERA = {"intrinsics_px": [[50, 0, 20], [0, 50, 16], [0, 0, 1]], "cam_from_world": torch.eye(4).tolist()}
PROMPTS = {"boxes": [[1, 2, 30, 20]], "points": [[[5, 5], [6, 6, 0]]], "names": ["sofa"]}
BOXES = {"made_from": "x", "boxes": [{"center": [0, 0, 0], "size": [0.1, 0.1, 0.1], "yaw": 0.1, "score": 0.5}]}
_RECIPES = Path(__file__).parents[2] / "src" / "scenewright" / "recipes"


def _recipes(folder: Path) -> None:
    (folder / "d.toml").write_text('kind = "floor"\ncount = 3\nseed = 7\npacks = ["p.zip"]\nparametric_share = 0.5\n')
    for name in ("structure_vae", "scenegen_structure", "shape_flow_512"):
        (folder / f"{name}.toml").write_bytes((_RECIPES / f"{name}.toml").read_bytes())


def _files(*names: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name in names:
            save_scene(_scene(), folder / name)

    return make


def _voxels(folder: Path) -> None:
    for name in ("a.vxz", "a.npz"):
        save_ovoxel(_ovoxel(), folder / name)


def _voxel_set() -> SparseVoxels:
    return SparseVoxels(torch.zeros(2, 3, dtype=torch.int32), 8, {"a": torch.ones(2)})


def one(make: Callable[[Path], object], read: Callable[[Path], object], *names: str) -> Target:
    """A target whose reader takes one file."""
    return Target(make, names, read, is_single=True)


PICTURES = ("a.png", "b.png", "c.webp", "d.jpg", "e.bmp", "f.jpg")


def _depth_network(folder: Path) -> object:
    classes = {"depth_anything": DepthAnythingForDepthEstimation}
    return load_transformers(WeightsSource(folder), classes, "a Depth Anything network")


TARGETS: dict[str, Target] = {
    "image": one(_pictures, load_image, *PICTURES),
    "labels": one(_labels, lambda path: load_masks(path, (32, 40)), "a.png", "b.png", "c.png", "d.webp"),
    "maskfolder": Target(_masks, ("m/0_mask.png", "m/1_mask.png"), lambda folder: load_masks(folder / "m", (32, 40))),
    "coco": one(
        _json(a=COCO, b=COCO["annotations"]),
        lambda path: load_masks(path, (32, 40), image_name="1.jpg"),
        "a.json",
        "b.json",
    ),
    "prompts": one(_json(a=PROMPTS), lambda path: read_prompts(path).checked(32, 40), "a.json"),
    "camera": one(_json(a=CAMERA), lambda path: _read_camera(path, _picture(), "a.jpg"), "a.json"),
    "tscene": Target(
        _test_scene,
        ("scene.json", "gt_points.npz", "gt.glb", "instances.png", "rgb.jpg", "scene.json"),
        read_test_scene,
    ),
    "camscene": Target(
        _test_scene, ("scene.json",), lambda folder: _read_camera(folder / "scene.json", _picture(), "rgb.jpg")
    ),
    "manifest": one(_manifest, read_manifest, "a.json", "b.json"),
    "replay": one(_manifest, _replayed, "a.json", "b.json"),
    "glb": one(_files("a.glb"), load_scene, "a.glb"),
    "gltf": Target(
        lambda folder: save_gltf(_scene(), folder / "a.gltf"), ("a.gltf", "a.bin"), lambda f: load_scene(f / "a.gltf")
    ),
    "obj": Target(_files("a.obj"), ("a.obj", "a.mtl", "a_oak_Kd.png"), lambda folder: load_scene(folder / "a.obj")),
    "ply": one(_files("a.ply"), load_scene, "a.ply"),
    "stl": one(_files("a.stl"), load_scene, "a.stl"),
    "splats": one(_splats, load_scene, "a.ply"),
    "vxz": one(_voxels, load_ovoxel, "a.vxz"),
    "npz": one(_voxels, load_ovoxel, "a.npz"),
    "npy": one(lambda folder: np.save(folder / "a.npy", np.ones((4, 5))), read_npy, "a.npy"),
    "safetensors": one(_weights, _read_all, "a.safetensors"),
    "pt": one(_weights, _read_all, "a.pt"),
    "drecipe": one(_recipes, lambda path: load_recipe(str(path)), "d.toml"),
    "trecipe": one(_recipes, read_recipe, "structure_vae.toml", "scenegen_structure.toml", "shape_flow_512.toml"),
    "shards": Target(
        _shards, ("shard-00000.json", "shard-00000.json", "shard-00000.tar"), lambda folder: list(ShardReader(folder))
    ),
    "compact": one(_compact, _read_compact, "a.tar"),
    "packz": one(_model_pack, _read_pack, "pack.zip"),
    "packfolder": Target(_model_pack, ("pack/index.csv", "pack/glb/m.glb"), lambda folder: _read_pack(folder / "pack")),
    "arch": one(_catalogue, _import, "a.zip", "a.sh3f"),
    "compare": Target(
        _result,
        ("a.json", "b.json"),
        lambda folder: compare_results(read_result(folder / "a.json"), read_result(folder / "b.json")),
    ),
    "transformers": Target(write_tiny_depth, ("config.json", "model.safetensors"), _depth_network),
    "ckpt": Target(
        _checkpoint,
        tuple(f"checkpoints/step-00000001/{name}" for name in ("state.json", "trainer.pt", "weights.safetensors")),
        lambda folder: read_checkpoint(folder, 1),
    ),
    "run": Target(_trained_run, ("recipe.json",), trained_network),
    "iscene": Target(
        _package,
        ("iscene_config.json", "config.yaml"),
        lambda folder: read_package(WeightsSource(folder, offline=True)),
    ),
    "pipeline": Target(
        _pipelines,
        (
            "two/pipeline.json",
            "one/pipeline.json",
            "two/sparse_structure_flow_model.json",
            "two/shape_slat_decoder.json",
            "two/sparse_structure_decoder.json",
            "one/slat_flow_model.json",
            "one/sparse_structure_flow_model.json",
            "one/slat_decoder_gs.json",
        ),
        _read_pipelines,
    ),
    "boxes": one(_json(a=BOXES), lambda path: _boxes_of(_read_json(path), path), "a.json"),
    "stage": one(
        lambda folder: save_data(folder / "a.safetensors", _voxel_set()),
        lambda path: load_data(path, SparseVoxels),
        "a.safetensors",
    ),
    "transforms": one(_json(a=TRANSFORMS), read_transforms_json, "a.json"),
    "colmap": Target(_colmap, ("cameras.txt", "images.txt", "points3D.txt"), read_colmap),
    "statistics": one(_json(a={"shape": {"mean": [0.0, 1.0], "std": [1.0, 1.0]}}), read_statistics, "a.json"),
    "store": one(
        _json(a={"key": "k", "record": {"x": 1}}), lambda path: Store(path.parent).read(path.stem, "k"), "a.json"
    ),
}
