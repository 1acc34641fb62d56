"""A composed scene as the files of one sample: pictures, masks, depth, meshes and a JSON with all poses and boxes.

Names: `scene.json`, `gt.glb` (geometry in the world frame), and per picture `rgb.jpg`, `instances.png`, `depth_mm.png`
(with a prefix `view_KK_` where there are several). JSON matrices are row-major; frames as docs/conventions.md says:
world z up, metres, cameras OpenCV. Depth is 16-bit millimetres, 0 where nothing is hit.
"""

import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
from PIL import Image

from scenewright.data.composition import ComposedScene, PlacedAsset
from scenewright.data.ground_truth import FIXTURE_CODES, ObjectView, Picture, PreparedScene, fixture_code, prepare_scene
from scenewright.data.recipes import DataRecipe
from scenewright.data.shards import Sample
from scenewright.io.glb import glb_bytes
from scenewright.types import Camera, Mesh, Scene, SceneObject

__all__ = ["sample_of"]

JPEG_QUALITY = 92


def sample_of(scene: ComposedScene, number: int, recipe: DataRecipe) -> Sample:
    """All files of scene `number` of a recipe."""
    prepared = prepare_scene(scene)
    meta: dict[str, Any] = {
        "kind": recipe.kind,
        "number": number,
        "objects": [_object_json(instance, placed) for instance, placed in enumerate(scene.objects, 1)],
        "views": [],
    }
    if scene.layout:
        meta["layout"] = scene.layout
    if scene.kind == "room":
        codes = {name: fixture_code(name) for name, _ in scene.fixtures if not name.startswith("outside")}
        meta["instance_codes"] = codes | {"outside": FIXTURE_CODES["outside"]}
    files: dict[str, bytes] = {}
    pictures = prepared.pictures(scene.cameras, supersample=recipe.supersample) if scene.cameras else []
    many = len(pictures) + len(scene.panorama_poses) > 1
    for index, (camera, picture) in enumerate(zip(scene.cameras, pictures, strict=True)):
        prefix = f"view_{index:02d}_" if many else ""
        files |= _picture_files(prefix, picture)
        meta["views"].append(_camera_json(camera, prefix, prepared))
    for index, pose in enumerate(scene.panorama_poses, len(pictures)):
        prefix = f"view_{index:02d}_" if many else ""
        panorama = prepared.panorama(pose, recipe.size, supersample=recipe.supersample)
        files |= _picture_files(prefix, panorama)
        height, width = panorama.instance.shape
        meta["views"].append(
            {
                "prefix": prefix,
                "projection": "equirectangular",
                "width": width,
                "height": height,
                "cam_from_world": _rounded(pose.tolist()),
                "objects": [
                    {"instance": k, "visible_pixels": int((panorama.instance == k).sum())}
                    for k in range(1, len(scene.objects) + 1)
                ],
            }
        )
    if recipe.with_meshes:
        files["gt.glb"] = glb_bytes(_geometry_only(scene))
    files["scene.json"] = json.dumps(meta, indent=1, sort_keys=True).encode()
    return Sample(f"{number:07d}", files)


def _geometry_only(scene: ComposedScene) -> Scene:
    """Positions and faces in the world frame: no materials, so the file stays small."""
    whole, items = scene.scene(), []
    for item in whole.objects:
        parts = tuple(Mesh(part.vertices, part.faces) for part in item.placed_parts())
        items.append(replace(item, parts=parts, world_from_object=SceneObject("").world_from_object))
    return Scene(tuple(items), room=whole.room, is_metric=True)


def _object_json(instance: int, placed: PlacedAsset) -> dict[str, Any]:
    box = placed.footprint
    size = placed.size_m
    return {
        "instance": instance,
        "model_id": placed.asset.id,
        "name": placed.asset.name,
        "category": placed.asset.category,
        "licence": placed.asset.credit.licence,
        "creator": placed.asset.credit.creator,
        "rights_holder": placed.asset.credit.rights_holder,
        "placement": placed.placement,
        "supported_by": None if placed.supported_by is None else placed.supported_by + 1,
        "world_from_object": _rounded(placed.world_from_object.tolist()),
        "obb": {
            "center": _rounded([box.x, box.y, (box.low + box.high) / 2]),
            "size": _rounded(list(size)),
            "yaw": round(placed.yaw, 7),
        },
    }


def _camera_json(camera: Camera, prefix: str, prepared: PreparedScene) -> dict[str, Any]:
    return {
        "prefix": prefix,
        "projection": "pinhole",
        "width": camera.width,
        "height": camera.height,
        "intrinsics_px": _rounded(camera.intrinsics_px.tolist()),
        "cam_from_world": _rounded(camera.cam_from_world.tolist()),
        "objects": [_view_json(k, view) for k, view in enumerate(prepared.views(camera), 1)],
    }


def _view_json(instance: int, view: ObjectView) -> dict[str, Any]:
    return {
        "instance": instance,
        "visible_pixels": view.visible_pixels,
        "amodal_pixels": view.amodal_pixels,
        "visible_fraction": round(view.visible_fraction, 4),
        "bbox_xyxy": list(view.bbox_xyxy),
    }


def _rounded(values: Any) -> Any:
    """Seven decimals, so that files do not depend on how a platform prints the last bit."""
    return [_rounded(v) for v in values] if isinstance(values, list) else round(float(values), 7)


def _picture_files(prefix: str, picture: Picture) -> dict[str, bytes]:
    depth = np.clip(np.round(picture.depth_m.numpy() * 1000), 0, 65535).astype(np.uint16)
    return {
        f"{prefix}rgb.jpg": _encoded(Image.fromarray(picture.rgb.numpy()), "JPEG", quality=JPEG_QUALITY),
        f"{prefix}instances.png": _encoded(Image.fromarray(picture.instance.numpy().astype(np.uint8)), "PNG"),
        f"{prefix}depth_mm.png": _encoded(Image.fromarray(depth), "PNG"),
    }


def _encoded(image: Image.Image, file_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()
