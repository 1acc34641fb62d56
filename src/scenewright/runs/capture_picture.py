"""The picture beside the scene of a capture: the place from above, and photographs beside the scene from their cameras.

Frame: world z up, metres.
"""

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont

from scenewright.errors import InputError
from scenewright.geometry.camera.projection import scale_camera
from scenewright.rendering.lights import Ambient, Lights
from scenewright.rendering.render import RenderOptions, render_view
from scenewright.rendering.sheet import instance_colors, picture_sheet, top_view
from scenewright.rendering.triangles import pack_scene
from scenewright.rendering.view import view_of_camera
from scenewright.systems.genrecon.captures import Capture
from scenewright.systems.genrecon.scene_plan import ScenePlan
from scenewright.types import Scene

__all__ = ["capture_picture", "plan_picture", "shown_pictures"]

_NUM_PHOTOGRAPHS = 4
_MAX_POINTS = 30_000
_MARGIN = 0.05
_CELL_PX, _PLAN_PX = 448, 896
_PAPER, _INK, _USED, _UNUSED = (250, 250, 250), (40, 40, 40), (20, 90, 200), (150, 150, 150)
# Even light: photographs hold the light of the place in the colours that were baked from them.
_LIGHT = Lights(ambient=Ambient((0.85,) * 3, (0.5,) * 3))
# Shown without what lies above this share of the room's height, so that one looks into it.
_CUT = 0.75


def capture_picture(capture: Capture, plan: ScenePlan, scene: Scene) -> Image.Image:
    """Plan and scene from above, then photographs beside the scene from the same cameras.

    Photographs that the scene was not made from come first; where there is none, the caption says so.
    """
    cut_m = plan.extent.z_floor + _CUT * plan.extent.height
    packed = pack_scene(scene)
    rows: list[list[Image.Image | None]] = [[plan_picture(capture, plan), top_view(packed, cut_height_m=cut_m)]]
    captions = [f"{len(plan.chunks.centres)} chunks of {plan.chunks.size:.2f} m; the scene from above"]
    for index in shown_pictures(capture, plan):
        picture = capture.pictures[index]
        camera = scale_camera(picture.camera, _CELL_PX / picture.camera.width)
        try:
            photograph: Image.Image | None = picture.read()
        except InputError:  # gone since; the scene is not lost for it
            photograph = None
        drawn = render_view(packed, view_of_camera(camera), _LIGHT, RenderOptions(tone_map=False, with_channels=False))
        rows.append([photograph, drawn.image()])
        captions.append(f"{picture.name}, {'used' if index in plan.pictures else 'held out'}")
    return picture_sheet(rows, row_labels=captions, cell=_CELL_PX)


def shown_pictures(capture: Capture, plan: ScenePlan) -> list[int]:
    """Indices of held-out pictures spread over the capture, and of used ones where those are too few."""
    used = set(plan.pictures)
    held_out = [index for index in range(len(capture.pictures)) if index not in used]
    chosen = _spread(held_out, _NUM_PHOTOGRAPHS)
    return chosen + _spread(sorted(used), _NUM_PHOTOGRAPHS - len(chosen))


def plan_picture(capture: Capture, plan: ScenePlan) -> Image.Image:
    """Points, chunks and cameras from straight above, x to the right, y up; cameras not used are grey."""
    centres, side = plan.chunks.centres.numpy()[:, :2], plan.chunks.size
    eyes = np.array([picture.centre for picture in capture.pictures])
    corners = np.concatenate([centres - side / 2, centres + side / 2, eyes[:, :2]])
    low, high = corners.min(0), corners.max(0)
    span = float((high - low).max()) * (1 + 2 * _MARGIN)
    middle, scale = (low + high) / 2, _PLAN_PX / span
    image = Image.new("RGB", (_PLAN_PX, _PLAN_PX), _PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(24)

    def place(points: Float[np.ndarray, "N 2"]) -> Float[np.ndarray, "N 2"]:
        return (points - middle) * [scale, -scale] + _PLAN_PX / 2

    step = -(-len(capture.points) // _MAX_POINTS) or 1
    draw.point([tuple(point) for point in place(capture.points[::step, :2])], fill=_UNUSED)
    colors = instance_colors(len(centres) + 1)[1:]
    for number, (centre, color) in enumerate(zip(centres, colors, strict=True)):
        box = place(np.stack([centre - side / 2, centre + side / 2]))
        # Neighbours overlap: each outline a little further in than the last.
        inset = 2 * (number % 4)
        draw.rectangle(
            (box[0, 0] + inset, box[1, 1] + inset, box[1, 0] - inset, box[0, 1] - inset), outline=color, width=2
        )
        draw.text(tuple(place(centre[None])[0]), str(number), fill=color, font=font, anchor="mm")
    used = set(plan.pictures)
    for index, (picture, eye) in enumerate(zip(capture.pictures, eyes, strict=True)):
        forward = picture.camera.cam_from_world[2, :2].double().numpy()
        length = np.linalg.norm(forward)
        forward = forward / length if length > 1e-6 else forward
        aside = np.array([-forward[1], forward[0]])
        reach = 20 / scale
        wedge = np.stack(
            [eye[:2], eye[:2] + reach * (forward + 0.5 * aside), eye[:2] + reach * (forward - 0.5 * aside)]
        )
        color = _USED if index in used else _UNUSED
        draw.polygon([tuple(point) for point in place(wedge)], outline=color)
    bar = place(np.stack([low, low + [1.0, 0.0]]))
    bottom = _PLAN_PX - 12
    draw.line([(12, bottom), (12 + bar[1, 0] - bar[0, 0], bottom)], fill=_INK, width=3)
    draw.text((12, bottom - 8), "1 m", fill=_INK, font=font, anchor="ls")
    return image


def _spread(indices: list[int], count: int) -> list[int]:
    if len(indices) <= count:
        return indices
    return [indices[int(at)] for at in np.rint(np.linspace(0, len(indices) - 1, max(count, 0)))]
