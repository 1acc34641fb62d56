"""Captures: posed photographs of one place with their structure-from-motion points, read from the folders people have.

| folder holds | is read as |
|---|---|
| `dslr/nerfstudio/transforms_undistorted.json` | ScanNet++ DSLR, already upright and in metres |
| `iphone/colmap` and `iphone/rgb` | ScanNet++ phone, likewise |
| `transforms.json` | Nerfstudio or Blender |
| a COLMAP model in itself, `sparse`, `sparse/NUMBER`, `colmap`, `colmap/sparse/0` | own, pictures in `images`, `rgb` |

Own captures have an arbitrary world: `aligned` turns it upright and estimates floor and scale. Pictures keep the order
of their names, so that thinning them is even in time.

Legend: N points. Frame: the capture's own until aligned; then z up, metres, floor at 0. Cameras OpenCV.
"""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.geometry.camera.distortion import PINHOLE, Distortion, remapped, remapped_labels, undistorted_camera
from scenewright.io.colmap import ColmapModel, ColmapPoints, is_colmap_folder, read_colmap
from scenewright.io.images import PICTURE_SUFFIXES, image_size, load_unturned_image
from scenewright.io.transforms_json import SCANNETPP_WORLD, TransformsFrame, read_transforms_json
from scenewright.types import Camera

__all__ = ["Alignment", "Capture", "PosedPicture", "aligned", "is_capture", "read_capture"]

logger = logging.getLogger(__name__)

CaptureKind = Literal["own", "scannetpp_dslr", "scannetpp_phone", "transforms"]
CAMERA_HEIGHT_M = 1.6
"""Height at which people hold cameras: the scale of a capture of which nothing is known."""
_FLOOR_PERCENTILE = 2.0
# From a camera on the ground of a doll's house to one on a mountain; units from the micrometre to the globe.
_CAMERA_HEIGHTS_M, _SCALES = (0.01, 1e3), (1e-6, 1e6)
_LEAST_LENGTH = 1e-9  # in units of the files, against division by what is nothing
_MODEL_FOLDERS = ("", "sparse/0", "sparse", "colmap/sparse/0", "colmap/sparse", "colmap")
_PICTURE_FOLDERS = ("images", "rgb", "input", ".")
# Two directions of the cameras' right axes have to differ by this much to fix a horizontal plane.
_MIN_SPREAD = 0.02


@dataclass(frozen=True)
class PosedPicture:
    """A photograph, on disk or in memory; `camera` is the pinhole of the picture that `read` returns.

    `seen_points` are the rows of the capture's points that were triangulated from it; None where no file tells.
    """

    name: str
    path: Path
    camera: Camera
    distorted_intrinsics_px: Float[np.ndarray, "3 3"]
    lens: Distortion = PINHOLE
    image: Image.Image | None = None
    seen_points: Int[np.ndarray, " _"] | None = None

    def read(self) -> Image.Image:
        """The picture as its camera sees it.

        Raises:
            InputError: the file is missing or no picture, or its size is not the one the camera was calibrated for.
        """
        if self.image is not None:
            return self.image
        picture = load_unturned_image(self.path)
        if self.lens.is_none:
            wanted = self.camera.width, self.camera.height
            if picture.size != wanted:
                raise InputError(_wrong_size(self.path, picture.size, wanted))
            return picture
        width, height = picture.size
        flat = undistorted_camera(self.distorted_intrinsics_px, self.lens, width, height)
        if (flat.width, flat.height) != (self.camera.width, self.camera.height):
            raise InputError(_wrong_size(self.path, picture.size, (self.camera.width, self.camera.height)))
        pixels = remapped(np.asarray(picture.convert("RGB")), self.distorted_intrinsics_px, self.lens, flat)
        return Image.fromarray(pixels)

    def labels_as_seen(self, labels: Int[np.ndarray, "height width"]) -> Int[np.ndarray, "new_height new_width"]:
        """Labels drawn on the photograph, as the camera of `read` sees them; 0 where the lens showed nothing.

        Raises:
            InputError: the labels have another shape than the picture (a larger or smaller size is scaled).
        """
        size = (self.camera.width, self.camera.height) if self.image is not None else image_size(self.path)
        if labels.shape != size[::-1]:
            factor = labels.shape[1] / size[0]
            if abs(labels.shape[0] - factor * size[1]) > 1 + 0.01 * labels.shape[0]:
                raise InputError(
                    f"they have {labels.shape[1]}x{labels.shape[0]} pixels, their picture {size[0]}x{size[1]}; save "
                    "them at the picture's size."
                )
            rows, columns = (
                ((np.arange(wanted) + 0.5) * given / wanted).astype(int)
                for wanted, given in zip(size[::-1], labels.shape, strict=True)
            )
            labels = labels[rows[:, None], columns]
        if self.image is not None or self.lens.is_none:
            return labels
        flat = undistorted_camera(self.distorted_intrinsics_px, self.lens, *size)
        return remapped_labels(labels, self.distorted_intrinsics_px, self.lens, flat)

    @property
    def intrinsics_unit(self) -> Float[Tensor, "3 3"]:
        """Intrinsics of `camera` in units of the picture's size."""
        camera = self.camera
        size = torch.tensor([[camera.width], [camera.height], [1.0]], dtype=torch.float64)
        return camera.intrinsics_px.double() / size

    @property
    def centre(self) -> Float[np.ndarray, " 3"]:
        """Where the camera stood, in the capture's frame."""
        pose = self.camera.cam_from_world.double().numpy()
        return -pose[:3, :3].T @ pose[:3, 3]


@dataclass(frozen=True)
class Capture:
    """Posed pictures and points of one place.

    Attributes:
        missing: names of pictures that the model lists and the folder lacks.
        unplaced: names of pictures beside those that the model lists: registration found no camera for them.
        world_from_capture: similarity from the frame of the files to the frame of everything here.
    """

    pictures: tuple[PosedPicture, ...]
    points: Float[np.ndarray, "N 3"]
    error_px: Float[np.ndarray, " N"]
    track_length: Int[np.ndarray, " N"]
    kind: CaptureKind
    missing: tuple[str, ...] = ()
    unplaced: tuple[str, ...] = ()
    world_from_capture: Float[np.ndarray, "4 4"] | None = None

    @property
    def is_upright(self) -> bool:
        """Whether z is up and the unit is the metre."""
        return self.kind.startswith("scannetpp") or self.world_from_capture is not None


@dataclass(frozen=True)
class Alignment:
    """Choices that turn an own capture upright and to metres.

    Attributes:
        camera_height_m: median height of the cameras above the floor, from which the scale follows.
        metres_per_unit: the scale, where it is known; then heights are not used.
        keeps_frame: the capture is upright and metric already; only what is measured stays.
    """

    camera_height_m: float = CAMERA_HEIGHT_M
    metres_per_unit: float | None = None
    keeps_frame: bool = False


def is_capture(folder: str | Path) -> bool:
    """Whether a folder looks like one of the captures that `read_capture` reads."""
    folder = Path(folder)
    if not folder.is_dir():
        return False
    return (
        (folder / "dslr/nerfstudio/transforms_undistorted.json").is_file()
        or (folder / "iphone/colmap").is_dir()
        or (folder / "transforms.json").is_file()
        or _model_folder(folder) is not None
    )


def read_capture(folder: str | Path) -> Capture:
    """The capture in a folder, in the frame of its files.

    Raises:
        InputError: the folder is no capture, a file is damaged, or none of the pictures is there.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"Capture '{folder}' is not a folder; give the folder with pictures and COLMAP model.")
    if (folder / "dslr/nerfstudio/transforms_undistorted.json").is_file():
        root = folder / "dslr"
        frames = read_transforms_json(root / "nerfstudio/transforms_undistorted.json", world_from_file=SCANNETPP_WORLD)
        points = read_colmap(root / "colmap").points
        return _from_frames(frames, root / "resized_undistorted_images", points, "scannetpp_dslr")
    if (folder / "iphone/colmap").is_dir():
        return _from_colmap(read_colmap(folder / "iphone/colmap"), folder / "iphone/rgb", "scannetpp_phone")
    model = _model_folder(folder)
    if (folder / "transforms.json").is_file():
        frames = read_transforms_json(folder / "transforms.json")
        return _from_frames(frames, folder, None if model is None else read_colmap(model).points, "transforms")
    if model is None:
        raise InputError(
            f"'{folder}' is no capture: it has neither transforms.json nor a COLMAP model (cameras, images, points3D "
            "as .txt or .bin, in the folder itself, sparse, sparse/0 or colmap)."
        )
    content = read_colmap(model)
    places = [place / name for place in (folder, model.parent) for name in _PICTURE_FOLDERS]
    return _from_colmap(content, _pictures_folder(folder, places, content), "own")


def aligned(capture: Capture, settings: Alignment = Alignment()) -> Capture:
    """The capture upright, in metres, with its floor at z = 0; ScanNet++ and kept frames come back as they are.

    Up is the direction most nearly at right angles to all cameras' right axes (pictures are held level), on the side
    of the cameras' tops; the floor is the 2nd percentile of the points' heights.

    Raises:
        InputError: a length that is given is out of its range, there are no points, or cameras stand on the floor.
    """
    if capture.is_upright:
        return capture
    if settings.keeps_frame:
        return replace(capture, world_from_capture=np.eye(4))
    for option, value, (least, most) in (
        ("--camera-height", settings.camera_height_m, _CAMERA_HEIGHTS_M),
        ("--metres-per-unit", settings.metres_per_unit, _SCALES),
    ):
        if value is not None and not least <= value <= most:
            raise InputError(f"Expected a capture's {option} from {least:g} to {most:g}, got {value:g}.")
    if len(capture.points) == 0:
        raise InputError("The capture has no points to find its floor by; triangulate them, or keep its frame.")
    up = _up_direction([picture.camera for picture in capture.pictures])
    rotation = _rotation_to_z(up)
    heights = capture.points @ rotation[2]
    floor = float(np.percentile(heights, _FLOOR_PERCENTILE))
    eyes = np.array([rotation @ picture.centre for picture in capture.pictures])
    scale = settings.metres_per_unit
    if scale is None:
        above = float(np.median(eyes[:, 2])) - floor
        if not above > _LEAST_LENGTH:
            raise InputError(
                "The cameras do not stand above the points' floor, so the scale cannot be estimated; give it, or check "
                "that the pictures are not upside down."
            )
        scale = settings.camera_height_m / above
    matrix = np.eye(4)
    matrix[:3, :3] = scale * rotation
    matrix[:3, 3] = -scale * np.array([np.median(eyes[:, 0]), np.median(eyes[:, 1]), floor])
    return _transformed(capture, matrix)


def _transformed(capture: Capture, world_from_capture: Float[np.ndarray, "4 4"]) -> Capture:
    inverse = np.linalg.inv(world_from_capture)
    scale = np.linalg.norm(world_from_capture[:3, 0])
    pictures = []
    for picture in capture.pictures:
        pose = picture.camera.cam_from_world.double().numpy() @ inverse
        pose[:3] *= scale
        camera = replace(picture.camera, cam_from_world=torch.from_numpy(pose))
        pictures.append(replace(picture, camera=camera))
    points = capture.points @ world_from_capture[:3, :3].T + world_from_capture[:3, 3]
    return replace(capture, pictures=tuple(pictures), points=points, world_from_capture=world_from_capture)


def _up_direction(cameras: Sequence[Camera]) -> Float[np.ndarray, " 3"]:
    rotations = np.array([camera.cam_from_world[:3, :3].double().numpy() for camera in cameras])
    tops = -rotations[:, 1].mean(0)
    rights = rotations[:, 0]
    values, vectors = np.linalg.eigh(rights.T @ rights / len(rights))
    level = vectors[:, 0] if vectors[:, 0] @ tops >= 0 else -vectors[:, 0]
    norm = np.linalg.norm(tops)
    # Portrait pictures, or cameras that all look one way, leave the plane open: the mean of their tops decides.
    is_level = values[1] > _MIN_SPREAD and values[0] < 0.25 * values[1] and level @ tops > 0.5 * norm
    return level if is_level else tops / max(norm, 1e-12)


def _rotation_to_z(up: Float[np.ndarray, " 3"]) -> Float[np.ndarray, "3 3"]:
    """A rotation that takes `up` to +z and moves the other axes as little as possible."""
    z = np.array([0.0, 0.0, 1.0])
    cross, cosine = np.cross(up, z), float(up @ z)
    if cosine < -1 + 1e-9:
        return np.diag([1.0, -1.0, -1.0])
    skew = np.array([[0, -cross[2], cross[1]], [cross[2], 0, -cross[0]], [-cross[1], cross[0], 0]])
    return np.eye(3) + skew + skew @ skew / (1 + cosine)


# ------------------------------------------------------------------------------------------------------------- reading


def _from_colmap(model: ColmapModel, pictures_folder: Path, kind: CaptureKind) -> Capture:
    found, missing = [], []
    row_of_id = {int(point): row for row, point in enumerate(model.points.ids)}
    for image in sorted(model.images, key=lambda image: image.name):
        path = _picture_path(pictures_folder, image.name)
        if path is None:
            missing.append(image.name)
            continue
        camera = model.cameras[image.camera_id]
        posed = _posed(
            image.name,
            path,
            camera.intrinsics_px,
            camera.distortion,
            (camera.width, camera.height),
            image.cam_from_world,
        )
        rows = [row_of_id[int(point)] for point in image.point_ids if int(point) in row_of_id]
        found.append(replace(posed, seen_points=np.unique(np.array(rows, dtype=np.int64))))
    capture = _capture(found, missing, model.points, kind, pictures_folder)
    # Phone captures of ScanNet++ register some frames of a video; own captures were meant to have all.
    return replace(capture, unplaced=_unplaced(found, pictures_folder)) if kind == "own" else capture


def _from_frames(
    frames: Sequence[TransformsFrame], pictures_folder: Path, points: ColmapPoints | None, kind: CaptureKind
) -> Capture:
    found, missing = [], []
    for frame in sorted(frames, key=lambda frame: frame.name):
        path = _picture_path(pictures_folder, frame.name)
        if path is None:
            missing.append(frame.name)
            continue
        size = (frame.width, frame.height) if frame.width and frame.height else image_size(path)
        intrinsics_px = frame.intrinsics_unit * np.array([[size[0]], [size[1]], [1.0]])
        # Without a size in the file the field of view is the width's, and pixels are square.
        if not (frame.width and frame.height):
            intrinsics_px[1, 1] = intrinsics_px[0, 0]
        found.append(_posed(frame.name, path, intrinsics_px, frame.distortion, size, frame.cam_from_world))
    none = ColmapPoints(np.zeros(0, int), np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros(0), np.zeros(0, int))
    return _capture(found, missing, points or none, kind, pictures_folder)


def _posed(
    name: str,
    path: Path,
    intrinsics_px: Float[np.ndarray, "3 3"],
    lens: Distortion,
    size: tuple[int, int],
    cam_from_world: Float[np.ndarray, "4 4"],
) -> PosedPicture:
    """A picture whose file may be a resized form of what was calibrated."""
    actual = image_size(path)
    if actual != size:
        factor = actual[0] / size[0]
        if abs(actual[1] / size[1] - factor) > 0.01 * factor:
            raise InputError(_wrong_size(path, actual, size))
        intrinsics_px = intrinsics_px * np.array([[actual[0] / size[0]], [actual[1] / size[1]], [1.0]])
    flat_intrinsics, (width, height) = intrinsics_px, actual
    if not lens.is_none:
        flat = undistorted_camera(intrinsics_px, lens, *actual)
        flat_intrinsics, width, height = flat.intrinsics_px, flat.width, flat.height
    camera = Camera(torch.from_numpy(flat_intrinsics), torch.from_numpy(cam_from_world), width, height)
    return PosedPicture(name, path, camera, intrinsics_px, lens)


def _capture(
    found: list[PosedPicture], missing: list[str], points: ColmapPoints, kind: CaptureKind, folder: Path
) -> Capture:
    if not found:
        raise InputError(
            f"None of the {len(missing)} pictures of the model is in '{folder}' (the first is '{missing[0]}'); put "
            "the pictures there."
            if missing
            else f"The model of '{folder}' lists no picture; register the pictures first."
        )
    if missing:
        logger.warning("%d of %d pictures are missing in %s.", len(missing), len(missing) + len(found), folder)
    return Capture(tuple(found), points.positions, points.error_px, points.track_length, kind, tuple(missing))


def _model_folder(folder: Path) -> Path | None:
    """The folder of the COLMAP model; of several numbered ones without a first, the one with the most pictures."""
    found = next((folder / name for name in _MODEL_FOLDERS if is_colmap_folder(folder / name)), None)
    if found is not None:
        return found
    numbered = filter(is_colmap_folder, (folder / "sparse").glob("[0-9]*"))
    return max(numbered, key=_pictures_bytes, default=None)


def _pictures_bytes(model: Path) -> int:
    return sum(path.stat().st_size for path in model.glob("images.*"))


def _picture_path(folder: Path, name: str) -> Path | None:
    """The file of a listed name: below the folder, or by its base name; Blender leaves the ending out."""
    base = PurePosixPath(name.replace("\\", "/"))
    without_ending = (folder / f"{base}{ending}" for ending in (".png", ".jpg", ".jpeg"))
    for candidate in (folder / base, folder / base.name, *without_ending):
        with suppress(OSError):  # a name that is too long for a file
            if candidate.is_file() and candidate.resolve().is_relative_to(folder.resolve()):
                return candidate
    return None


def _pictures_folder(folder: Path, places: Sequence[Path], model: ColmapModel) -> Path:
    """The first place that holds a picture of the model, else the first with any picture in or below it."""
    names = [image.name for image in model.images]
    listed = (place for place in places if place.is_dir() and any(_picture_path(place, name) for name in names))
    others = (place for place in places if any(map(_is_picture, place.rglob("*"))))
    found = next(chain(listed, others), None)
    if found is None:
        raise InputError(f"'{folder}' has a COLMAP model but no pictures; put them into '{folder / 'images'}'.")
    return found


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in PICTURE_SUFFIXES


def _unplaced(found: Sequence[PosedPicture], folder: Path) -> tuple[str, ...]:
    """Pictures in the folders that hold those of the model, but not among them."""
    used = {picture.path.resolve() for picture in found}
    folders = {folder, *(picture.path.parent for picture in found)}
    others = (path for place in sorted(folders) for path in sorted(place.iterdir()) if path.resolve() not in used)
    return tuple(path.name for path in others if _is_picture(path))


def _wrong_size(path: Path, actual: tuple[int, int], wanted: tuple[int, int]) -> str:
    return (
        f"Picture '{path}' has {actual[0]}x{actual[1]} pixels, but its camera was calibrated for "
        f"{wanted[0]}x{wanted[1]}; restore the pictures that the model was made from."
    )
