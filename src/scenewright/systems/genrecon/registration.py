"""Cameras of plain photographs, or of a video, of one place: structure from motion by COLMAP (pycolmap).

    photographs or video -> capture_from_photographs -> a capture folder: images/, sparse/0/

Pictures are copied upright and at most 1600 pixels long, so that the folder can be read like any other capture. One
seed, one thread where order matters: the same pictures give the same model on the same machine.
Source: COLMAP (Schönberger and Frahm 2016), BSD.

Frame: the model's own; `captures.aligned` turns it upright and to metres.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from scenewright.errors import InputError, MissingExtraError
from scenewright.io.images import PICTURE_SUFFIXES, load_exif, load_image
from scenewright.jobs.store import Store, files_stamp, key_of
from scenewright.progress import SILENT, Progress

__all__ = ["VIDEO_SUFFIXES", "capture_from_photographs", "is_video"]

VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm"})
_NOTE = "registration"
# What a folder that was made here holds.
_OWN = {f"{_NOTE}.json", "images", "sparse", "work"}
_LONGEST_PX = 1600
_JPEG_QUALITY = 95
_MIN_PICTURES = 3
# All pairs of pictures are compared up to this many pictures; of more, each with its neighbours in time.
_ALL_PAIRS = 100
_NEIGHBOURS = 15
_PAIRS_AT_A_TIME = 40
_PICTURES_AT_A_TIME = 8
_MAX_FRAMES, _FRAMES_PER_SECOND = 120, 2.0
_SHARPNESS_PX = 320
_COLMAP_SEEDS = 1 << 31  # its seeds are signed numbers of 32 bits, and negative ones are chance
# Rooms have bare walls: weaker features than COLMAP's default of 0.0067 count, and fewer of them place a picture.
_PEAK_THRESHOLD = 0.004
_MIN_INLIERS_TO_START, _MIN_INLIERS_TO_PLACE, _MIN_ANGLE_DEG = 50, 20, 8.0


@dataclass(frozen=True)
class _Picture:
    """One picture's copy for COLMAP, and the name it has in the capture."""

    copy: str
    name: str
    camera: tuple[Any, ...]


def is_video(path: str | Path) -> bool:
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def capture_from_photographs(
    source: str | Path, folder: str | Path, *, seed: int = 0, progress: Progress = SILENT
) -> Path:
    """A capture folder of the photographs in a folder, or of sharp frames of a video; made once and kept.

    Args:
        folder: where the capture is made; an earlier result from the same pictures and seed is taken as it is.

    Raises:
        MissingExtraError: pycolmap is not installed, or imageio-ffmpeg for a video.
        InputError: there are fewer than three pictures, one cannot be read, no two of them fit together, or `folder`
            holds something else.
    """
    source, folder = Path(source), Path(folder)
    colmap = _pycolmap()
    files = [source] if is_video(source) else _photographs(source)
    key = key_of(files=files_stamp(*files), seed=seed, colmap=colmap.__version__)
    note = Store(folder)
    if note.read(_NOTE, key) is not None and (folder / "sparse/0/images.bin").is_file():
        return folder
    _cleared(folder)
    pictures_folder, work = folder / "images", folder / "work"
    for made in (pictures_folder, work):
        made.mkdir(parents=True)
    pictures = _copied(source, files, pictures_folder, progress)
    if len(pictures) < _MIN_PICTURES:
        raise InputError(
            f"'{source}' gives {len(pictures)} pictures; a place needs {_MIN_PICTURES} at the very least, better forty "
            "that overlap by half."
        )
    model = _registered(colmap, pictures_folder, work, pictures, seed, progress)
    if model is None:
        raise InputError(
            f"No two pictures of '{source}' could be fitted together; take them closer to each other, so that "
            "neighbours show half of the same, in good light and without blur."
        )
    name_of = {picture.copy: picture.name for picture in pictures}
    for image in model.images.values():
        image.name = name_of[image.name]
    for picture in pictures:
        (pictures_folder / picture.copy).rename(pictures_folder / picture.name)
    (folder / "sparse/0").mkdir(parents=True)
    model.write(folder / "sparse/0")
    shutil.rmtree(work)
    note.write(_NOTE, key, {"pictures": len(pictures), "registered": model.num_reg_images()})
    return folder


def _pycolmap() -> Any:
    try:
        import pycolmap
    except ImportError as error:
        raise MissingExtraError("Finding the cameras of photographs (COLMAP)", "colmap") from error
    pycolmap.logging.minloglevel = pycolmap.logging.Level.ERROR.value
    return pycolmap


def _photographs(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(
            f"'{folder}' is neither a folder of photographs nor a video ({', '.join(sorted(VIDEO_SUFFIXES))})."
        )
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if not files:
        others = sorted({path.suffix.lower() for path in folder.iterdir() if path.suffix})
        raise InputError(
            f"'{folder}' holds no photograph ({', '.join(PICTURE_SUFFIXES)})"
            + (f", but files that end in {', '.join(others[:5])}; save them as JPEG." if others else ".")
        )
    stems = [path.stem for path in files]
    if doubled := next((stem for stem in stems if stems.count(stem) > 1), None):
        raise InputError(f"'{folder}' holds '{doubled}' twice with different endings; keep one of them.")
    return files


def _cleared(folder: Path) -> None:
    """Removes an earlier attempt; anything else in the folder is the user's and stays."""
    if not folder.exists():
        return
    names = {path.name for path in folder.iterdir()}
    if names - _OWN or (names and not names & {f"{_NOTE}.json", "work"}):
        raise InputError(f"'{folder}' holds other files; move them, or write the scene under another name.")
    shutil.rmtree(folder)


# ------------------------------------------------------------------------------------------------------------ pictures


def _copied(source: Path, files: Sequence[Path], folder: Path, progress: Progress) -> list[_Picture]:
    pictures = []
    if is_video(source):
        for number, frame in enumerate(_sharp_frames(source, progress)):
            copy = f"{number:05d}.jpg"
            _shrunk(frame).save(folder / copy, quality=_JPEG_QUALITY)
            pictures.append(_Picture(copy, f"frame_{number:05d}.jpg", ()))
        return pictures
    advance = progress.stage("read photographs")
    for number, path in enumerate(files):
        image = load_image(path).convert("RGB")
        exif, camera = _lens(path)
        copy = f"{number:05d}.jpg"
        small = _shrunk(image)
        small.save(folder / copy, quality=_JPEG_QUALITY, exif=exif)
        pictures.append(_Picture(copy, f"{path.stem}.jpg", (*small.size, *camera)))
        advance(number + 1, len(files))
    return pictures


def _shrunk(image: Image.Image) -> Image.Image:
    factor = _LONGEST_PX / max(image.size)
    if factor >= 1:
        return image
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    return image.resize(size, Image.Resampling.LANCZOS)


def _lens(path: Path) -> tuple[Image.Exif, tuple[Any, ...]]:
    """The facts about the lens that COLMAP starts from, and the same as a key of pictures with equal intrinsics."""
    kept = Image.Exif()
    exif = load_exif(path)
    own = exif.get_ifd(ExifTags.IFD.Exif)
    for tag in (ExifTags.Base.Make, ExifTags.Base.Model):
        if tag in exif:
            kept[tag] = exif[tag]
    lens = {
        int(tag): own[tag] for tag in (ExifTags.Base.FocalLength, ExifTags.Base.FocalLengthIn35mmFilm) if tag in own
    }
    if lens:
        kept.get_ifd(ExifTags.IFD.Exif).update(lens)
    return kept, tuple(str(value) for value in (*dict(kept).values(), *lens.values()))


def _sharp_frames(video: Path, progress: Progress) -> Iterator[Image.Image]:
    """The sharpest frame of each of up to 120 equal spans, two a second where the video is short."""
    try:
        import imageio_ffmpeg
    except ImportError as error:
        raise MissingExtraError("Reading a video", "video") from error
    if not video.is_file():
        raise InputError(f"Video '{video}' does not exist.")
    advance = progress.stage("read video")
    try:
        frames = imageio_ffmpeg.read_frames(str(video))
        facts = next(frames)
        size, duration_s, rate = facts["size"], float(facts["duration"]), float(facts["fps"])
        total = max(1, round(duration_s * rate))
        spans = max(1, min(_MAX_FRAMES, round(duration_s * _FRAMES_PER_SECOND), total))
        best: tuple[float, Image.Image] | None = None
        span = 0
        for number, content in enumerate(frames):
            if number * spans // total > span and best is not None:
                yield best[1]
                advance(number, total)
                span, best = number * spans // total, None
            frame = Image.frombytes("RGB", size, content)
            sharpness = _sharpness(frame)
            if best is None or sharpness > best[0]:
                best = sharpness, frame
        if best is not None:
            yield best[1]
    except (OSError, RuntimeError, StopIteration, ValueError, KeyError, ZeroDivisionError) as error:
        raise InputError(f"Video '{video}' cannot be read ({error}); save it as .mp4 (H.264).") from error


def _sharpness(frame: Image.Image) -> float:
    """Variance of the Laplacian of the small grey picture."""
    height = max(3, round(_SHARPNESS_PX * frame.height / frame.width))
    grey = np.asarray(frame.convert("L").resize((_SHARPNESS_PX, height)), dtype=np.float32)
    laplacian = grey[1:-1, 1:-1] * 4 - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]
    return float(laplacian.var())


# -------------------------------------------------------------------------------------------------------------- COLMAP


def _registered(
    colmap: Any, images: Path, work: Path, pictures: Sequence[_Picture], seed: int, progress: Progress
) -> Any | None:
    """The reconstruction with most pictures, or None."""
    database = work / "database.db"
    _extract(colmap, database, images, pictures, progress)
    _match(colmap, database, work, [picture.copy for picture in pictures], seed, progress)
    options = colmap.IncrementalPipelineOptions()
    options.num_threads = 1  # sums in one order
    options.mapper.num_threads = 1
    options.random_seed = options.triangulation.random_seed = options.mapper.random_seed = seed % _COLMAP_SEEDS
    options.mapper.init_min_num_inliers = _MIN_INLIERS_TO_START
    options.mapper.init_min_tri_angle = _MIN_ANGLE_DEG
    options.mapper.abs_pose_min_num_inliers = _MIN_INLIERS_TO_PLACE
    options.min_model_size = _MIN_PICTURES
    advance, placed = progress.stage("cameras"), 0

    def place() -> None:
        nonlocal placed
        placed += 1
        advance(min(placed, len(pictures)), len(pictures))

    (work / "models").mkdir()
    models = colmap.incremental_mapping(database, images, work / "models", options=options, next_image_callback=place)
    best = max(models.values(), key=lambda model: (model.num_reg_images(), model.num_points3D()), default=None)
    return best if best is not None and best.num_reg_images() >= _MIN_PICTURES else None


def _extract(colmap: Any, database: Path, images: Path, pictures: Sequence[_Picture], progress: Progress) -> None:
    """Features of all pictures; pictures of one size, camera and focal length share their intrinsics."""
    options = colmap.FeatureExtractionOptions()
    options.use_gpu = False
    options.num_threads = 1  # pictures get their numbers in the order in which they are done
    options.sift.peak_threshold = _PEAK_THRESHOLD
    groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for picture in pictures:
        groups[picture.camera].append(picture.copy)
    advance, done = progress.stage("features"), 0
    for names in groups.values():
        reader = colmap.ImageReaderOptions()
        reader.camera_model = "SIMPLE_RADIAL"
        batches = [
            names[:1],
            *(names[at : at + _PICTURES_AT_A_TIME] for at in range(1, len(names), _PICTURES_AT_A_TIME)),
        ]
        for batch in batches:
            colmap.extract_features(
                database,
                images,
                image_names=batch,
                camera_mode=colmap.CameraMode.SINGLE,
                reader_options=reader,
                extraction_options=options,
                device=colmap.Device.cpu,
            )
            if reader.existing_camera_id < 0:
                with colmap.Database.open(database) as opened:
                    reader.existing_camera_id = max(camera.camera_id for camera in opened.read_all_cameras())
            done += len(batch)
            advance(done, len(pictures))


def _match(colmap: Any, database: Path, work: Path, names: Sequence[str], seed: int, progress: Progress) -> None:
    verification = colmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed % _COLMAP_SEEDS
    pairing = colmap.ImportedPairingOptions()
    pairing.match_list_path = work / "pairs.txt"
    pairs = _pairs(len(names))
    advance = progress.stage("matches")
    for begin in range(0, len(pairs), _PAIRS_AT_A_TIME):
        part = pairs[begin : begin + _PAIRS_AT_A_TIME]
        lines = (f"{names[first]} {names[second]}\n" for first, second in part)
        pairing.match_list_path.write_text("".join(lines))
        colmap.match_image_pairs(
            database, pairing_options=pairing, verification_options=verification, device=colmap.Device.cpu
        )
        advance(begin + len(part), len(pairs))


def _pairs(count: int) -> list[tuple[int, int]]:
    """All pairs of few pictures; of many, neighbours in order and pictures a power of two apart."""
    steps = list(range(1, count))
    if count > _ALL_PAIRS:
        steps = sorted({*range(1, _NEIGHBOURS + 1), *(2**power for power in range(count.bit_length()))})
    return [(first, first + step) for step in steps for first in range(count - step)]
