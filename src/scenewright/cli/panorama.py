"""`scenewright panorama`: what InSpace sees of a panorama: cube faces, distances from above, estimated room."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenewright.cli.options import (
    CameraHeight,
    Commercial,
    Depth,
    DepthModel,
    Device,
    Extent,
    Floor,
    Heading,
    Json,
    Offline,
)

if TYPE_CHECKING:
    from torch import Tensor

    from scenewright.systems.inspace.panorama import RoomInput

__all__ = ["panorama"]


def panorama(
    picture: Annotated[Path, typer.Argument(metavar="PANORAMA", help="A 2:1 equirectangular picture.")],
    faces: Annotated[Path | None, typer.Option(help="Folder for the six cube faces of 120 degrees.")] = None,
    depth: Depth = None,
    depth_model: DepthModel = None,
    plan: Annotated[
        Path | None, typer.Option(help="Write the occupied cells from above and level here (.png).")
    ] = None,
    distances: Annotated[
        Path | None, typer.Option(help="Write the distances of the turned panorama here: .npy, or .png as a picture.")
    ] = None,
    points: Annotated[Path | None, typer.Option(help="Write coloured points in metres here (.ply).")] = None,
    size: Annotated[int, typer.Option(help="Side of the faces in pixels.", min=16, max=4096)] = 512,
    heading: Heading = None,
    camera_height: CameraHeight = None,
    floor: Floor = None,
    extent: Extent = None,
    device: Device = "auto",
    offline: Offline = False,
    commercial: Commercial = False,
    json_path: Json = None,
) -> None:
    """Look at a panorama as InSpace does: turned to its walls, cut into faces, its room put to scale."""
    import math

    from PIL import Image

    from scenewright.cli.options import write_json
    from scenewright.cli.progress import progress_bar
    from scenewright.errors import InputError
    from scenewright.io.atomic import check_writable, make_folder, write_bytes
    from scenewright.io.depth_file import load_depth
    from scenewright.io.formats import check_target
    from scenewright.io.images import SAVED_SUFFIXES, load_image, save_image
    from scenewright.machine import choose_device
    from scenewright.runs.inputs import ChosenDepth, choose_depth
    from scenewright.systems.catalogue import refuse_uncleared
    from scenewright.systems.inspace import panorama_depth
    from scenewright.systems.inspace.panorama import PanoramaSettings, colored_points, room_input
    from scenewright.systems.inspace.room_frame import FACE_NAMES
    from scenewright.systems.inspace.stage_pictures import cell_picture
    from scenewright.systems.inspace.system import panorama_of
    from scenewright.systems.options import RoomOverride
    from scenewright.types import View

    known = RoomOverride(None if heading is None else math.radians(heading), camera_height, floor, extent)
    chosen = choose_depth(depth, depth_model)
    if commercial and chosen.model is not None:
        refuse_uncleared((), (chosen.model,))
    if chosen == ChosenDepth() and (wanted := [path for path in (plan, distances, points) if path is not None]):
        raise InputError(f"'{wanted[0]}' needs the distances of the panorama; add --depth FILE, or --depth auto.")
    pictures = []
    read: list[str | Path] = [picture, *([] if chosen.file is None else [chosen.file])]
    for path, option, suffixes in (
        (plan, "--plan", SAVED_SUFFIXES),
        (distances, "--distances", (".npy", *SAVED_SUFFIXES)),
        (points, "--points", (".ply",)),
    ):
        if path is not None:
            check_target(path, option, *suffixes, inputs=read)
    if json_path is not None and str(json_path) != "-":
        check_writable(json_path, inputs=read)
    if faces is not None:
        make_folder(faces)
        pictures = [faces / f"{name}.png" for name in FACE_NAMES]
        check_writable(*pictures, inputs=read)
    depth_m = None if chosen.file is None else load_depth(chosen.file)
    given = panorama_of(View(load_image(picture), name=picture.name, depth_m=depth_m))
    if chosen.model is not None:
        model = panorama_depth.DepthModel(chosen.model, choose_device(device), offline)
        with progress_bar() as progress:
            given = model.estimated(given.rgb, advance=progress.stage("depth")).added_to(given)
    room = room_input(given, PanoramaSettings(known, face_size=size))
    written = []
    for path, pixels in zip(pictures, room.faces.numpy(), strict=False):
        written.append(save_image(Image.fromarray(pixels), path))
    if plan is not None and room.voxels is not None:
        written.append(save_image(cell_picture(room.voxels, 64), plan))
    if room.panorama.distance_m is not None:
        if distances is not None:
            written.append(_write_distances(room.panorama.distance_m, distances))
        if points is not None:
            written.append(write_bytes(points, colored_points(room)))
    facts = room.facts | {"notes": list(room.notes)}
    if json_path is not None:
        write_json(facts, json_path)
    if str(json_path) != "-":
        for name, value in facts.items():
            if name not in ("notes", "origins"):
                typer.echo(f"{name.replace('_', ' ')}: {'unknown' if value is None else value}{_origin(room, name)}")
        for note in room.notes:
            typer.echo(f"note: {note}")
        if written:
            typer.echo(f"wrote {', '.join(str(path) for path in written)}")


def _write_distances(distance_m: "Tensor", path: Path) -> Path:
    """Distances as numbers (.npy), or as a picture that is brightest nearby."""
    from scenewright.io.depth_file import save_depth
    from scenewright.io.images import save_image
    from scenewright.systems.inspace.stage_pictures import distance_picture

    return (
        save_depth(distance_m, path)
        if path.suffix.lower() == ".npy"
        else save_image(distance_picture(distance_m), path)
    )


def _origin(room: "RoomInput", fact: str) -> str:
    """Where a fact comes from, in brackets."""
    names = {"heading_deg": "heading", "camera_height_m": "camera_height", "ceiling_m": "ceiling"}
    origin = room.origins.get(names.get(fact, "extent" if fact == "largest_side_m" else ""))
    return "" if origin is None else f" ({origin})"
