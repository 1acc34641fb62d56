"""The camera of a picture from a file, checked: our own form, a `transforms.json`, or a photograph's EXIF data.

| file | read |
|---|---|
| `intrinsics_px` (3x3) or `fx`, `fy`, `cx`, `cy`, in pixels | the lens; `width`, `height` say of which picture size |
| with `cam_from_world` (4x4) | the place as well; world in metres, z up, floor at z = 0 |
| `frames`, as Nerfstudio and Blender write them | the lens alone: neither unit nor floor of their world is known |
| a picture | the lens alone, from the focal length on 35 mm film of its EXIF data |
"""

import math
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Annotated

import torch
from annotated_types import Ge, MultipleOf
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.files import Matrix3, Matrix4, Number, json_value, read_file, reader
from scenewright.geometry.camera.checks import check_camera
from scenewright.io.images import PICTURE_SUFFIXES, load_image, stored_picture
from scenewright.io.transforms_json import frames_from_json
from scenewright.types import Camera

__all__ = ["load_camera"]

_FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
Side = Annotated[float, Ge(1), MultipleOf(1)]  # 640.0 is a whole number, too


@dataclass(frozen=True)
class _CameraFile:
    intrinsics_px: Matrix3 | None = None
    cam_from_world: Matrix4 | None = None
    fx: Number | None = None
    fy: Number | None = None
    cx: Number | None = None
    cy: Number | None = None
    width: Side | None = None
    height: Side | None = None
    frames: list[object] | None = None


@reader("a camera file", "give 'intrinsics_px' (3x3) or fx, fy, cx, cy in pixels, and perhaps 'cam_from_world' (4x4)")
def load_camera(path: str | Path, image: Image.Image, *, image_name: str = "") -> Camera:
    """The camera of `image`, in its pixels.

    A camera at the origin stands on the floor: its place counts as unknown.

    Args:
        path: of the file (see the table above).
        image: a picture as `load_photograph` gives it; the file's pixels are its upright ones before it was reduced.
        image_name: file name of the picture, to find it among the frames of a `transforms.json`.

    Raises:
        InputError: the file is missing or is none of the above, or holds no possible camera.
    """
    path = Path(path)
    whole = stored_picture(image).upright_size
    pose = torch.eye(4)
    if path.suffix.lower() in PICTURE_SUFFIXES:
        intrinsics, size = _from_exif(path, whole), whole
    else:
        content = read_file(path)
        known = json_value(content, _CameraFile)
        if known.frames is not None:
            intrinsics, size = _from_frames(json_value(content, dict), whole, image_name, path)
        else:
            intrinsics, size = _lens(known, whole), (int(known.width or whole[0]), int(known.height or whole[1]))
            if known.cam_from_world is not None:
                pose = torch.tensor(known.cam_from_world)
    if abs(size[0] * whole[1] / (size[1] * whole[0]) - 1) > 0.02:
        raise InputError(
            f"The camera '{path}' belongs to a picture of {size[0]}x{size[1]}, but this one has {whole[0]}x{whole[1]}; "
            "give the camera of this picture, uncropped."
        )
    check_camera(Camera(intrinsics, pose, *size), f"The camera '{path}'")
    scale = torch.tensor([image.width / size[0], image.height / size[1], 1.0])
    return Camera(scale[:, None] * intrinsics, pose, *image.size)


def _lens(known: _CameraFile, size: tuple[int, int]) -> Float[Tensor, "3 3"]:
    if known.intrinsics_px is not None:
        return torch.tensor(known.intrinsics_px)
    if known.fx is None:
        raise ValueError("it has neither intrinsics_px nor fx")
    fy = known.fx if known.fy is None else known.fy
    width, height = known.width or size[0], known.height or size[1]
    cx, cy = (middle if own is None else own for own, middle in ((known.cx, width / 2), (known.cy, height / 2)))
    return torch.tensor([[known.fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


def _from_exif(path: Path, size: tuple[int, int]) -> Float[Tensor, "3 3"]:
    focal_mm = stored_picture(load_image(path)).focal_35mm
    if not focal_mm:
        raise InputError(f"The EXIF data of '{path}' give no focal length on 35 mm film; give the camera as .json.")
    focal = focal_mm / _FILM_DIAGONAL_MM * math.hypot(*size)
    return torch.tensor([[focal, 0, size[0] / 2], [0, focal, size[1] / 2], [0, 0, 1.0]])


def _from_frames(
    content: dict[str, object], size: tuple[int, int], name: str, path: Path
) -> tuple[Float[Tensor, "3 3"], tuple[int, int]]:
    """The lens of the frame of that name, or of the only one, and its picture's size, by default `size`."""
    frames = frames_from_json(content, source=str(path))
    named = [frame for frame in frames if PureWindowsPath(frame.name).stem == Path(name).stem]
    chosen = named or (frames if len({frame.intrinsics_unit.tobytes() for frame in frames}) == 1 else [])
    if not chosen:
        raise InputError(f"'{path}' has {len(frames)} frames of several lenses, and none is called '{name}'.")
    frame = chosen[0]
    width, height = frame.width or size[0], frame.height or size[1]
    intrinsics = torch.tensor([width, height, 1.0])[:, None] * torch.from_numpy(frame.intrinsics_unit).float()
    if not (frame.width and frame.height):  # the field of view is the width's, and pixels are square
        intrinsics[1, 1] = intrinsics[0, 0]
    return intrinsics, (width, height)
