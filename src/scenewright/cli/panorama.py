"""`scenewright panorama`: what InSpace sees of a panorama: cube faces, distances from above, estimated room."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenewright.cli.options import CameraHeight, Depth, Extent, Floor, Heading, Json

if TYPE_CHECKING:
    from scenewright.systems.inspace.panorama import RoomInput

__all__ = ["panorama"]


def panorama(
    picture: Annotated[Path, typer.Argument(metavar="PANORAMA", help="A 2:1 equirectangular picture.")],
    faces: Annotated[Path | None, typer.Option(help="Folder for the six cube faces of 120 degrees.")] = None,
    depth: Depth = None,
    plan: Annotated[Path | None, typer.Option(help="Write the occupied cells seen from above here (.png).")] = None,
    size: Annotated[int, typer.Option(help="Side of the faces in pixels.", min=16, max=4096)] = 512,
    heading: Heading = None,
    camera_height: CameraHeight = None,
    floor: Floor = None,
    extent: Extent = None,
    json_path: Json = None,
) -> None:
    """Look at a panorama as InSpace does: turned to its walls, cut into faces, its room put to scale."""
    import math

    import numpy as np
    from PIL import Image

    from scenewright.cli.options import write_json
    from scenewright.errors import InputError
    from scenewright.io.atomic import make_folder
    from scenewright.io.depth_file import load_depth
    from scenewright.io.images import load_image, save_image
    from scenewright.systems.inspace.panorama import PanoramaSettings, room_input
    from scenewright.systems.inspace.room_frame import FACE_NAMES
    from scenewright.systems.inspace.system import panorama_of
    from scenewright.systems.options import RoomOverride
    from scenewright.types import View

    if plan is not None and depth is None:
        raise InputError("A plan needs the distances of the panorama; add --depth FILE.")
    view = View(load_image(picture), name=picture.name, depth_m=None if depth is None else load_depth(depth))
    known = RoomOverride(None if heading is None else math.radians(heading), camera_height, floor, extent)
    room = room_input(panorama_of(view), PanoramaSettings(known, face_size=size))
    written = []
    if faces is not None:
        make_folder(faces)
        for name, pixels in zip(FACE_NAMES, room.faces.numpy(), strict=True):
            written.append(save_image(Image.fromarray(pixels), faces / f"{name}.png"))
    if plan is not None and room.voxels is not None:
        counts = np.zeros((64, 64))
        np.add.at(counts, tuple(room.voxels[:, :2].numpy().T), 1)
        shade = 255 - (255 * np.sqrt(counts / counts.max())).astype(np.uint8)
        # North up: rows are -y, columns x.
        written.append(save_image(Image.fromarray(shade.T[::-1]).resize((512, 512), Image.Resampling.NEAREST), plan))
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


def _origin(room: "RoomInput", fact: str) -> str:
    """Where a fact comes from, in brackets."""
    names = {"heading_deg": "heading", "camera_height_m": "camera_height", "ceiling_m": "ceiling"}
    origin = room.origins.get(names.get(fact, "extent" if fact == "largest_side_m" else ""))
    return "" if origin is None else f" ({origin})"
