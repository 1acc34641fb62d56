"""COLMAP sparse models, text and binary: cameras, posed pictures, points.

A folder holds `cameras`, `images` and `points3D`, each as .txt or .bin. Declared counts are compared with the bytes
that are left before any memory is taken. COLMAP's cameras are ours (OpenCV, pixel centres at .5); its world is
arbitrary.
Source: COLMAP documentation, "Output Format"; `src/colmap/scene/reconstruction_io.cc`.

Legend: N points, M 2-D observations of a picture.
"""

import math
import re
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Float, Int, UInt8

from scenewright.errors import InputError
from scenewright.files import MAX_NUMBER, allow_also, name_of, read_file, reading, text_of
from scenewright.geometry.camera.checks import check_lens
from scenewright.geometry.camera.distortion import Distortion

__all__ = ["ColmapCamera", "ColmapImage", "ColmapModel", "ColmapPoints", "is_colmap_folder", "read_colmap"]

Part = TypeVar("Part")

# Number of parameters by model, in the order of COLMAP's model ids.
_NUM_PARAMS = {
    "SIMPLE_PINHOLE": 3,
    "PINHOLE": 4,
    "SIMPLE_RADIAL": 4,
    "RADIAL": 5,
    "OPENCV": 8,
    "OPENCV_FISHEYE": 8,
    "FULL_OPENCV": 12,
    "FOV": 5,
    "SIMPLE_RADIAL_FISHEYE": 4,
    "RADIAL_FISHEYE": 5,
    "THIN_PRISM_FISHEYE": 12,
}
_MODEL_NAMES = tuple(_NUM_PARAMS)
_MAX_NAME = 4096


@dataclass(frozen=True)
class ColmapCamera:
    """Intrinsics shared by pictures; `params` in COLMAP's order for `model`."""

    model: str
    width: int
    height: int
    params: tuple[float, ...]

    @property
    def intrinsics_px(self) -> Float[np.ndarray, "3 3"]:
        if self.model.startswith(("SIMPLE_", "RADIAL")):
            f, cx, cy = self.params[:3]
            fx = fy = f
        else:
            fx, fy, cx, cy = self.params[:4]
        return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])

    @property
    def distortion(self) -> Distortion:
        """The lens.

        Raises:
            InputError: the model is none of the pinholes, RADIAL, SIMPLE_RADIAL and OPENCV.
        """
        params = self.params
        if self.model in ("SIMPLE_PINHOLE", "PINHOLE"):
            return Distortion()
        if self.model == "SIMPLE_RADIAL":
            return Distortion(k1=params[3])
        if self.model == "RADIAL":
            return Distortion(params[3], params[4])
        if self.model == "OPENCV":
            return Distortion(*params[4:8])
        raise _unread_model("A camera", self.model)


@dataclass(frozen=True)
class ColmapImage:
    """One registered picture; `point_ids` is -1 where an observation belongs to no point."""

    name: str
    camera_id: int
    cam_from_world: Float[np.ndarray, "4 4"]
    observations_px: Float[np.ndarray, "M 2"]
    point_ids: Int[np.ndarray, " M"]


@dataclass(frozen=True)
class ColmapPoints:
    """Triangulated points with their mean reprojection error (pixels) and how many observations made them."""

    ids: Int[np.ndarray, " N"]
    positions: Float[np.ndarray, "N 3"]
    colors: UInt8[np.ndarray, "N 3"]
    error_px: Float[np.ndarray, " N"]
    track_length: Int[np.ndarray, " N"]


@dataclass(frozen=True)
class ColmapModel:
    """A sparse model; pictures in the order of the file, which need not be the order they were taken in."""

    cameras: Mapping[int, ColmapCamera]
    images: tuple[ColmapImage, ...]
    points: ColmapPoints


def is_colmap_folder(folder: str | Path) -> bool:
    """Whether the folder holds a sparse model, complete or not."""
    return any((Path(folder) / f"images{suffix}").is_file() for suffix in (".txt", ".bin"))


def read_colmap(folder: str | Path) -> ColmapModel:
    """The model in a folder; where a part is there in both forms, the binary one is read.

    Raises:
        InputError: a part is missing, cut, damaged or contradicts another; the message names file and fix.
    """
    folder = Path(folder)
    cameras = _read_part(folder, "cameras", _cameras_text, _cameras_binary)
    images = _read_part(folder, "images", _images_text, _images_binary)
    points = _read_part(folder, "points3D", _points_text, _points_binary)
    names: set[str] = set()
    for image in images:
        if image.camera_id not in cameras:
            raise InputError(
                f"Picture '{image.name}' in '{folder}' uses camera {image.camera_id}, which the cameras file does not "
                "list; export the model again."
            )
        if image.name in names:
            raise InputError(f"'{folder}' lists picture '{image.name}' twice; export the model again.")
        names.add(image.name)
    return ColmapModel(cameras, tuple(images), points)


def _read_part(
    folder: Path, stem: str, read_text: Callable[[Path], Part], read_binary: Callable[["_Bytes"], Part]
) -> Part:
    for suffix in (".bin", ".txt"):
        path = folder / f"{stem}{suffix}"
        if not path.is_file():
            continue
        with reading(path, "part of a COLMAP model", "export or copy the model again"):
            if suffix == ".bin":
                allow_also(path.stat().st_size)
                with _Bytes(path) as content:
                    return read_binary(content)
            return read_text(path)
    raise InputError(f"'{folder}' has no {stem}.txt or {stem}.bin; give the folder of a COLMAP sparse model.")


# ---------------------------------------------------------------------------------------------------------------- text


def _cameras_text(path: Path) -> dict[int, ColmapCamera]:
    cameras = {}
    lines = _Lines(path)
    for number, line in lines.records():
        fields = line.split()
        if len(fields) < 4:
            raise _bad_line(path, number, "camera id, model, width, height and parameters")
        cameras[int(fields[0])] = _camera(
            f"{path}:{number}", fields[1], int(fields[2]), int(fields[3]), [float(value) for value in fields[4:]]
        )
    lines.check_count(len(cameras), "cameras")
    return cameras


def _images_text(path: Path) -> list[ColmapImage]:
    images: list[ColmapImage] = []
    lines = _Lines(path)
    for number, line in lines.records():
        fields = line.split(maxsplit=9)
        if len(fields) < 10:
            raise _bad_line(path, number, "image id, quaternion, translation, camera id and name")
        pose = _pose(f"{path}:{number}", [float(value) for value in fields[1:8]])
        observed = _observations(lines.peek())
        if observed is None:  # a file without observation lines
            observed = np.zeros((0, 3))
        else:
            lines.skip()
        images.append(
            ColmapImage(
                fields[9].strip(), int(fields[8]), pose, observed[:, :2].copy(), observed[:, 2].astype(np.int64)
            )
        )
    lines.check_count(len(images), "images")
    return images


def _points_text(path: Path) -> ColmapPoints:
    rows, lengths = [], []
    if not path.stat().st_size:  # converters of other formats write an empty list of points
        return ColmapPoints(
            np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros(0), np.zeros(0, np.int64)
        )
    lines = _Lines(path)
    for number, line in lines.records():
        fields = line.split()
        if len(fields) < 8 or len(fields) % 2:
            raise _bad_line(path, number, "point id, position, colour, error and a track of pairs")
        rows.append([float(value) for value in fields[:8]])
        lengths.append((len(fields) - 8) // 2)
    lines.check_count(len(rows), "points")
    table = np.array(rows, dtype=np.float64).reshape(-1, 8)
    return ColmapPoints(
        table[:, 0].astype(np.int64),
        _finite(path, table[:, 1:4]),
        table[:, 4:7].clip(0, 255).astype(np.uint8),
        table[:, 7],
        np.array(lengths, dtype=np.int64),
    )


class _Lines:
    """The lines of a text file; blank lines and comments between records are passed over."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            text = text_of(read_file(path))
        except UnicodeDecodeError as error:
            raise InputError(f"'{path}' is not UTF-8 text; is it a binary model with the wrong ending?") from error
        self._lines = text.splitlines()
        self._next = 0
        self._declared: int | None = None

    def records(self) -> Iterator[tuple[int, str]]:
        while self._next < len(self._lines):
            line = self._lines[self._next].strip()
            self._next += 1
            if line.startswith("#"):
                declared = re.match(r"#\s*Number of \w+:\s*(\d+)", line)
                self._declared = int(declared.group(1)) if declared else self._declared
            elif line:
                yield self._next, line

    def peek(self) -> str | None:
        return self._lines[self._next] if self._next < len(self._lines) else None

    def skip(self) -> None:
        self._next += 1

    def check_count(self, count: int, noun: str) -> None:
        if self._declared is not None and self._declared != count:
            raise InputError(
                f"'{self.path}' announces {self._declared} {noun} and holds {count}; it was cut: copy it again."
            )


def _observations(line: str | None) -> Float[np.ndarray, "M 3"] | None:
    """The x, y, point id triples of a line, or None where the line is no such list (or is not there)."""
    if line is None:
        return None
    fields = line.split()
    if len(fields) % 3:
        return None
    try:
        return np.array([float(value) for value in fields]).reshape(-1, 3)
    except ValueError:
        return None


def _bad_line(path: Path, number: int, expected: str) -> InputError:
    return InputError(f"Line {number} of '{path}' should hold {expected}; it was cut or edited: copy the file again.")


# -------------------------------------------------------------------------------------------------------------- binary


class _Bytes:
    """A binary file read front to back; every read is checked against what is left."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> "_Bytes":
        self._file = self.path.open("rb")
        self._left = self.path.stat().st_size
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def unpack(self, form: str) -> tuple:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def take(self, count: int) -> bytes:
        self._require(count)
        self._left -= count
        return self._file.read(count)

    def count(self, smallest_record: int) -> int:
        """A declared number of records, none of which can be smaller than given."""
        (number,) = self.unpack("Q")
        self._require(number * smallest_record)
        return number

    def name(self) -> str:
        content = bytearray()
        while (byte := self.take(1)) != b"\0":
            content += byte
            if len(content) > _MAX_NAME:
                raise InputError(f"'{self.path}' holds a name of more than {_MAX_NAME} bytes; it is damaged.")
        return name_of(bytes(content))

    def end(self) -> None:
        if self._left:
            raise InputError(f"'{self.path}' has {self._left} bytes behind its last record; export the model again.")

    def _require(self, count: int) -> None:
        if count > self._left:
            raise InputError(
                f"'{self.path}' ends early: {count} more bytes are announced and {self._left} are left; copy it again."
            )


def _cameras_binary(content: _Bytes) -> dict[int, ColmapCamera]:
    cameras = {}
    for _ in range(content.count(4 + 4 + 8 + 8 + 3 * 8)):
        camera_id, model_id, width, height = content.unpack("IiQQ")
        if not 0 <= model_id < len(_MODEL_NAMES):
            raise _unread_model(f"Camera {camera_id} of '{content.path}'", f"number {model_id}")
        model = _MODEL_NAMES[model_id]
        params = content.unpack(f"{_NUM_PARAMS[model]}d")
        cameras[camera_id] = _camera(f"{content.path}", model, width, height, list(params))
    content.end()
    return cameras


def _images_binary(content: _Bytes) -> list[ColmapImage]:
    images = []
    row = np.dtype([("xy", "<f8", 2), ("point", "<i8")])
    for _ in range(content.count(4 + 7 * 8 + 4 + 1 + 8)):
        _, *pose, camera_id = content.unpack("I7dI")
        name = content.name()
        number = content.count(row.itemsize)
        observed = np.frombuffer(content.take(number * row.itemsize), row)
        images.append(
            ColmapImage(
                name,
                camera_id,
                _pose(f"{content.path}, picture '{name}'", pose),
                observed["xy"].astype(np.float64).reshape(-1, 2),
                observed["point"].astype(np.int64),
            )
        )
    content.end()
    return images


def _points_binary(content: _Bytes) -> ColmapPoints:
    number = content.count(8 + 24 + 3 + 8 + 8)
    ids, length = np.zeros(number, np.int64), np.zeros(number, np.int64)
    table, colors = np.zeros((number, 4)), np.zeros((number, 3), np.uint8)
    for index in range(number):
        ids[index], x, y, z, red, green, blue, error = content.unpack("Q3d3Bd")
        table[index], colors[index] = (x, y, z, error), (red, green, blue)
        length[index] = content.count(8)
        content.take(int(length[index]) * 8)
    content.end()
    return ColmapPoints(ids, _finite(content.path, table[:, :3]), colors, table[:, 3], length)


# -------------------------------------------------------------------------------------------------------------- shared


def _camera(place: str, model: str, width: int, height: int, params: list[float]) -> ColmapCamera:
    expected = _NUM_PARAMS.get(model)
    if expected is None:
        raise _unread_model(f"The camera in '{place}'", model[:80])
    if len(params) != expected or not all(map(math.isfinite, params)):
        raise InputError(
            f"'{place}' should give a {model} camera {expected} finite parameters, got {params}; export the model "
            "again."
        )
    camera = ColmapCamera(model, width, height, tuple(params))
    fx, fy, cx, cy = camera.intrinsics_px[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    check_lens((fx, fy), (cx, cy), (width, height), f"The camera in '{place}'")
    return camera


def _unread_model(camera: str, model: str) -> InputError:
    return InputError(
        f"{camera} is of model {model}, which is not supported; undistort the pictures first (colmap "
        "image_undistorter), or use PINHOLE, RADIAL, SIMPLE_RADIAL or OPENCV."
    )


def _pose(place: str, values: list[float]) -> Float[np.ndarray, "4 4"]:
    """`cam_from_world` of a quaternion (w, x, y, z) and a translation."""
    w, x, y, z = values[:4]
    norm = math.hypot(w, x, y, z)
    if not all(abs(value) <= MAX_NUMBER for value in values) or norm < 1e-12:
        raise InputError(f"'{place}' holds no valid pose ({values}); remove the picture from the model.")
    w, x, y, z = w / norm, x / norm, y / norm, z / norm
    pose = np.eye(4)
    pose[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    pose[:3, 3] = values[4:]
    return pose


def _finite(path: Path, positions: Float[np.ndarray, "N 3"]) -> Float[np.ndarray, "N 3"]:
    if not (np.abs(positions) <= MAX_NUMBER).all():
        raise InputError(
            f"'{path}' holds points at NaN, infinity or beyond {MAX_NUMBER:g}; remove them or export the model again."
        )
    return positions
