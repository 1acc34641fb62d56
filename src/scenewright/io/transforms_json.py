"""`transforms.json`: posed pictures as Nerfstudio, Blender's NeRF scenes and ScanNet++ write them.

Files give camera-to-world with glTF's camera axes (x right, y up, z back). Nerfstudio files hold intrinsics in pixels
(`fl_x` and so on), Blender files a field of view (`camera_angle_x`); what a frame gives overrides what the file gives.
Source: Nerfstudio documentation, "Data conventions"; ScanNet++ toolkit, `dslr/nerfstudio`.

Legend: N frames.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from scenewright.errors import InputError
from scenewright.files import MAX_NUMBER, read_json, reading, spend
from scenewright.geometry.camera.checks import check_lens
from scenewright.geometry.camera.distortion import Distortion
from scenewright.geometry.frames import CVCAM_FROM_GLTFCAM

__all__ = ["SCANNETPP_WORLD", "TransformsFrame", "frames_from_json", "read_transforms_json"]

SCANNETPP_WORLD = np.array([[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""From the world of ScanNet++'s Nerfstudio files to that of its scans, z up: x and y change places, z turns over."""
_MOST_SHEAR = 5e-3
_DISTORTED = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "RADIAL", "SIMPLE_RADIAL")


@dataclass(frozen=True)
class TransformsFrame:
    """One frame. Without a size in the file (`width` None) the picture is taken as square; intrinsics are unit ones."""

    name: str
    cam_from_world: Float[np.ndarray, "4 4"]
    intrinsics_unit: Float[np.ndarray, "3 3"]
    width: int | None
    height: int | None
    distortion: Distortion


def read_transforms_json(
    path: str | Path, *, world_from_file: Float[np.ndarray, "4 4"] | None = None
) -> list[TransformsFrame]:
    """All frames, in the order of the file.

    Args:
        world_from_file: a change of world, such as `SCANNETPP_WORLD`.

    Raises:
        InputError: the file is missing, no JSON, or a frame lacks its pose or intrinsics.
    """
    path = Path(path)
    with reading(path, "JSON of posed pictures", "it was cut or edited: export it again"):
        return frames_from_json(read_json(path, object), source=str(path), world_from_file=world_from_file)


def frames_from_json(
    content: Any, *, source: str = "transforms.json", world_from_file: Float[np.ndarray, "4 4"] | None = None
) -> list[TransformsFrame]:
    """The frames of parsed JSON; see `read_transforms_json`."""
    if not isinstance(content, dict) or not isinstance(content.get("frames"), list) or not content["frames"]:
        raise InputError(f"'{source}' has no list of frames; expected a Nerfstudio or Blender transforms file.")
    world = np.eye(4) if world_from_file is None else world_from_file
    # Every frame gets the file's own values.
    spend(len(content["frames"]) * 200 * (len(content) + 8), "its frames")
    frames = [frame if isinstance(frame, dict) else {} for frame in content["frames"]]
    return [_frame({**content, **frame}, f"frame {i} of '{source}'", world) for i, frame in enumerate(frames)]


def _frame(values: dict[str, Any], place: str, world: Float[np.ndarray, "4 4"]) -> TransformsFrame:
    try:
        pose = _pose(np.array(values["transform_matrix"], dtype=np.float64))
        intrinsics, width, height = _intrinsics(values, f"The {place}")
        if values.get("is_fisheye"):
            values = values | {"camera_model": "OPENCV_FISHEYE"}
        elif unread := [name for name in ("k3", "k4") if values.get(name)]:
            raise ValueError(f"its lens is bent by {' and '.join(unread)}, too; undistort the pictures first")
        lens = Distortion(*(float(values.get(name, 0.0)) for name in ("k1", "k2", "p1", "p2")))
        name = str(values.get("file_path", ""))
    except (KeyError, TypeError, ValueError) as error:
        problem = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"The {place} cannot be used ({problem}); remove it or export the file again.") from error
    model = values.get("camera_model", "OPENCV")
    if model not in _DISTORTED:
        raise InputError(f"The {place} has a camera of model {model}; undistort the pictures first.")
    camera_from_world = CVCAM_FROM_GLTFCAM.numpy() @ np.linalg.inv(world @ pose)
    return TransformsFrame(name, camera_from_world, intrinsics, width, height, lens)


def _pose(matrix: Float[np.ndarray, "rows 4"]) -> Float[np.ndarray, "4 4"]:
    """A camera's rotation and place; its own scale, as of objects in Blender, says nothing and is left out."""
    pose = np.vstack([matrix, [0, 0, 0, 1]]) if matrix.shape == (3, 4) else matrix
    if pose.shape != (4, 4) or not (np.abs(pose) <= MAX_NUMBER).all() or (pose[3] != [0, 0, 0, 1]).any():
        raise ValueError("its transform_matrix is no pose")
    scale = np.cbrt(np.linalg.det(pose[:3, :3]))
    if scale < 1e-3:
        raise ValueError("its transform_matrix mirrors or flattens")
    rotation = pose[:3, :3] / scale
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > _MOST_SHEAR:
        raise ValueError("its transform_matrix shears")
    return np.block([[rotation, pose[:3, 3:]], [pose[3:]]])


def _intrinsics(values: dict[str, Any], name: str) -> tuple[Float[np.ndarray, "3 3"], int | None, int | None]:
    """Unit intrinsics and, where the file gives it, the size; `name` is how messages call the frame."""
    width, height = (int(values[name]) if values.get(name) else None for name in ("w", "h"))
    if "fl_x" in values:
        if width is None or height is None:
            raise ValueError("it gives fl_x without the size w, h")
        fx, fy = float(values["fl_x"]), float(values.get("fl_y", values["fl_x"]))
        cx, cy = float(values.get("cx", width / 2)), float(values.get("cy", height / 2))
        check_lens((fx, fy), (cx, cy), (width, height), name)
        unit = (fx / width, fy / height, cx / width, cy / height)
    else:
        angle = float(values["camera_angle_x"])
        if not 0 < angle < math.pi:
            raise ValueError(f"its camera_angle_x of {angle:g} is no angle between 0 and pi")
        focal = 0.5 / math.tan(0.5 * angle)
        aspect = 1.0 if width is None or height is None else width / height
        unit = (focal, focal * aspect, 0.5, 0.5)
    if not all(map(math.isfinite, unit)) or min(unit[:2]) <= 0:
        raise ValueError("its focal length is not positive")
    return np.array([[unit[0], 0, unit[2]], [0, unit[1], unit[3]], [0, 0, 1]]), width, height
