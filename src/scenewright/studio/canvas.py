"""The large view of the page: the picture that is clicked, or the scene with a handle on the chosen object.

Frame: the world of the scene, z up, as everywhere. The picture stands upright in the plane y = 0, two units wide.
"""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
import viser
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from scenewright.encoders.masks.prompts import Box
from scenewright.geometry.rotation import (
    decompose_similarity,
    matrix_to_quaternion_wxyz,
    quaternion_wxyz_to_matrix,
    yaw_to_matrix,
)
from scenewright.io.glb import glb_bytes
from scenewright.types import Scene, SceneObject

__all__ = ["Canvas", "Change"]

_WIDTH = 2.0
_MOST_SHOWN = 1600
"""Pixels of the longer side of the picture as it is shown; clicks are exact all the same."""
_FACING = (math.sqrt(0.5), -math.sqrt(0.5), 0.0, 0.0)  # right, down and into the picture are x, -z and y
_FROM_GLTF = (math.sqrt(0.5), math.sqrt(0.5), 0.0, 0.0)  # y up to z up
_FOV, _ROOM = math.radians(50), 1.15


@dataclass(frozen=True)
class Change:
    """The move of an object by its handle: a turn about its foot, counter-clockwise from above, then a move."""

    degrees: float
    move: tuple[float, float, float]


@dataclass(frozen=True)
class _View:
    """Where to look: at `target` along `forward`, so that `width` and `height` are seen there.

    `fov` is the vertical field of view. With a `distance` that is kept, and a view that is narrower than a photograph,
    whose width is `shape` times its height, sees more above and below.
    """

    target: np.ndarray
    forward: np.ndarray
    fov: float
    width: float = 0.0
    height: float = 0.0
    distance: float | None = None
    shape: float = 0.0

    def position(self, aspect: float) -> np.ndarray:
        """Where the eye is; `aspect` is the width of the view over its height."""
        fitting = _ROOM * max(self.height, self.width / aspect) / 2 / math.tan(self.fov / 2)
        return self.target - (fitting if self.distance is None else self.distance) * self.forward

    def field(self, aspect: float) -> float:
        """The vertical field of view."""
        return 2 * math.atan(math.tan(self.fov / 2) * max(1.0, self.shape / aspect))


@dataclass(frozen=True)
class _Shown:
    frame: viser.FrameHandle
    glb: viser.GlbHandle
    content: str
    item: SceneObject
    world_from_content: Float[Tensor, "4 4"]

    def pose(self, change: Float[Tensor, "4 4"]) -> None:
        """Shows the object moved by a matrix of the world."""
        rotation, translation, scale = decompose_similarity(change @ self.world_from_content)
        self.frame.wxyz = matrix_to_quaternion_wxyz(rotation).numpy()
        self.frame.position = translation.numpy()
        self.glb.scale = float(scale)


class Canvas:
    """The drawing by viser. `clicked` and `boxed` receive pixels, `chosen` names, `changed` names and changes."""

    def __init__(
        self,
        server: viser.ViserServer,
        *,
        clicked: Callable[[float, float, bool], None],
        boxed: Callable[[Box], None],
        chosen: Callable[[str], None],
        changed: Callable[[str, Change], None],
    ) -> None:
        self._server = server
        self._clicked, self._boxed, self._chosen, self._changed = clicked, boxed, chosen, changed
        self._picture: viser.ImageHandle | None = None
        self._size = (1, 1)
        self._shown: dict[str, _Shown] = {}
        self._handle: viser.TransformControlsHandle | None = None
        self._view: _View | None = None
        self._held: str | None = None
        self._placed: dict[int, tuple[float, np.ndarray]] = {}
        server.on_client_connect(self._connected)
        server.on_client_disconnect(lambda client: self._placed.pop(client.client_id, None))
        server.scene.on_rect_select(modifier="cmd/ctrl")(self._on_box)

    def show_picture(self, image: Image.Image) -> None:
        """The picture alone, with its camera straight before it."""
        self.clear()
        self._size = image.size
        height = _WIDTH * image.height / image.width
        handle = self._server.scene.add_image(
            "/picture", self._pixels(image), _WIDTH, height, format="jpeg", jpeg_quality=85, wxyz=_FACING,
            cast_shadow=False, receive_shadow=False,
        )  # fmt: skip
        for modifier, is_on in ((None, True), ("shift", False)):
            handle.on_click(self._on_picture(is_on), modifier=modifier)
        self._picture = handle
        self._look(_View(np.zeros(3), np.array([0.0, 1.0, 0.0]), _FOV, width=_WIDTH, height=height))

    def repaint(self, image: Image.Image) -> None:
        """Another picture of the same size in the place of the picture."""
        if self._picture is not None:
            self._picture.image = self._pixels(image)

    def show_scene(self, scene: Scene, *, look: bool = True) -> None:
        """The objects of a scene. Objects that are there already are moved, not sent again."""
        if self._picture is not None:
            self.clear()
        self.choose(None)
        names = _distinct(scene)
        for name in self._shown.keys() - names.keys():
            self._shown.pop(name).frame.remove()
        for name, item in names.items():
            self._show_object(name, item)
        if look:
            self._look(_view_of(scene))

    def choose(self, name: str | None, *, movable: bool = True) -> None:
        """Puts the handle on an object: arrows and a square move it along the floor, the ring turns it."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
        if (held := self._shown.get(self._held or "")) is not None:
            self._let_click(held.glb, self._held or "")
        self._held = None
        shown = self._shown.get(name or "")
        if name is None or shown is None or not movable:
            return
        # Clicks would end at the object, and not reach its handle inside.
        shown.glb.remove_click_callback()
        self._held = name
        bounds = shown.item.world_bounds().double()
        foot = ((bounds[0] + bounds[1]) / 2).numpy()
        foot[2] = float(bounds[0, 2])
        self._handle = self._server.scene.add_transform_controls(
            "/handle", scale=0.75 * float((bounds[1] - bounds[0]).max()), active_axes=(True, True, False),
            depth_test=False, position=foot,
        )  # fmt: skip

        @self._handle.on_update
        async def _(event: viser.TransformControlsEvent) -> None:
            w, _, _, z = event.target.wxyz
            yaw, move = 2 * math.atan2(z, w), np.asarray(event.target.position) - foot
            yaw = (yaw + math.pi) % (2 * math.pi) - math.pi
            shown.pose(_change(foot, yaw, move))
            if event.phase == "end" and (abs(yaw) > 1e-4 or np.abs(move).max() > 1e-5):
                x, y, z = (round(float(value), 6) for value in move)
                self._changed(name, Change(math.degrees(yaw), (x, y, z)))

    def look_from_photograph(self, scene: Scene) -> None:
        """The view of the camera that took the photograph, where it is known."""
        self._look(_view_of(scene))

    def clear(self) -> None:
        """Nothing."""
        self.choose(None)
        self._shown.clear()
        self._picture = None
        self._server.scene.reset()

    def _show_object(self, name: str, item: SceneObject) -> None:
        glb, world_from_content = _drawable(item)
        content = hashlib.sha256(glb).hexdigest()
        shown = self._shown.get(name)
        if shown is None or shown.content != content:
            if shown is not None:
                shown.frame.remove()
            place = f"/scene/{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:12]}"
            frame = self._server.scene.add_frame(place, show_axes=False)
            handle = self._server.scene.add_glb(f"{place}/mesh", glb, wxyz=_FROM_GLTF)
            self._let_click(handle, name)
            shown = _Shown(frame, handle, content, item, world_from_content)
        self._shown[name] = replace(shown, item=item, world_from_content=world_from_content)
        self._shown[name].pose(torch.eye(4, dtype=torch.float64))

    def _let_click(self, handle: viser.GlbHandle, name: str) -> None:
        handle.on_click(lambda event: self._chosen(name))

    def _on_picture(self, is_on: bool) -> Callable[[viser.SceneNodePointerEvent[viser.ImageHandle]], None]:
        def click(event: viser.SceneNodePointerEvent[viser.ImageHandle]) -> None:
            x, y = self._pixel(np.asarray(event.ray_origin), np.asarray(event.ray_direction))
            if 0 <= x < self._size[0] and 0 <= y < self._size[1]:
                self._clicked(x, y, is_on)

        return click

    def _on_box(self, event: viser.SceneRectSelectEvent) -> None:
        if self._picture is None:
            return
        camera = event.client.camera
        corners = [self._pixel(camera.position, _ray(camera, place)) for place in (event.screen_min, event.screen_max)]
        (x0, y0), (x1, y1) = corners
        self._boxed((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)))

    def _pixel(self, origin: np.ndarray, direction: np.ndarray) -> tuple[float, float]:
        """Where a ray meets the plane of the picture, in its pixels; far outside where it does not."""
        if abs(direction[1]) < 1e-9:
            return math.inf, math.inf
        hit = origin - origin[1] / direction[1] * direction
        width, height = self._size
        return float((hit[0] / _WIDTH + 0.5) * width), float(height / 2 - hit[2] / _WIDTH * width)

    def _pixels(self, image: Image.Image) -> np.ndarray:
        small = image.convert("RGB")
        small.thumbnail((_MOST_SHOWN, _MOST_SHOWN))
        return np.asarray(small)

    def _look(self, view: "_View") -> None:
        self._view = view
        for client in self._server.get_clients().values():
            self._place_camera(client)

    def _connected(self, client: viser.ClientHandle) -> None:
        self._place_camera(client)
        client.camera.on_update(lambda camera: self._follow(client))

    def _follow(self, client: viser.ClientHandle) -> None:
        """Fits the view again where its shape changed and its user has not moved it."""
        placed = self._placed.get(client.client_id)
        if placed is None or abs(placed[0] - client.camera.aspect) < 0.01:
            return
        if np.abs(np.asarray(client.camera.position) - placed[1]).max() < 1e-3:
            self._place_camera(client)

    def _place_camera(self, client: viser.ClientHandle) -> None:
        if self._view is None:
            return
        aspect = client.camera.aspect
        position = self._view.position(aspect)
        self._placed[client.client_id] = aspect, position
        with client.atomic():
            client.camera.fov = self._view.field(aspect)
            client.camera.up_direction = (0.0, 0.0, 1.0)
            client.camera.position = position
            client.camera.look_at = self._view.target


def _ray(camera: viser.CameraHandle, place: tuple[float, float]) -> np.ndarray:
    """The direction in the world that a place of the view, from (0, 0) to (1, 1), is seen in."""
    half = math.tan(camera.fov / 2)
    x, y = (2 * place[0] - 1) * half * camera.aspect, (2 * place[1] - 1) * half
    rotation = quaternion_wxyz_to_matrix(torch.from_numpy(np.asarray(camera.wxyz, dtype=np.float64)))
    return rotation.numpy() @ np.array([x, y, 1.0])


def _view_of(scene: Scene) -> _View:
    """The view of the scene's camera, or from the front."""
    bounds = torch.stack([item.world_bounds() for item in scene.objects]) if scene.objects else torch.zeros(1, 2, 3)
    low, high = bounds[:, 0].amin(0).double().numpy(), bounds[:, 1].amax(0).double().numpy()
    middle, size = (low + high) / 2, float(np.linalg.norm(high - low)) or 1.0
    camera = scene.camera
    if camera is None:
        return _View(middle, np.array([0.45, 0.8, -0.4]) / np.linalg.norm([0.45, 0.8, 0.4]), _FOV, size, size)
    world_from_cam = torch.linalg.inv(camera.cam_from_world.double()).numpy()
    position, forward = world_from_cam[:3, 3], world_from_cam[:3, 2]
    depth = max(float(np.dot(middle - position, forward)), 0.1 * size)
    fov = 2 * math.atan(camera.height / 2 / float(camera.intrinsics_px[1, 1]))
    return _View(position + depth * forward, forward, fov, distance=depth, shape=camera.width / camera.height)


def _distinct(scene: Scene) -> dict[str, SceneObject]:
    """Objects with geometry by name; of equal names the later ones are numbered, and steps cannot name them."""
    named: dict[str, SceneObject] = {}
    for item in scene.objects:
        if any(len(part.faces) for part in item.parts):
            name = item.name if item.name not in named else f"{item.name} #{len(named)}"
            named[name] = item
    return named


def _drawable(item: SceneObject) -> tuple[bytes, Float[Tensor, "4 4"]]:
    """The object as a GLB, and the matrix that places it in the world; a placement that shears is in the GLB."""
    own, world_from_content = torch.eye(4, dtype=torch.float64), item.world_from_object.double()
    try:
        decompose_similarity(world_from_content)
    except ValueError:
        own, world_from_content = world_from_content, own
    return glb_bytes(Scene((SceneObject("object", item.parts, world_from_object=own),))), world_from_content


def _change(foot: np.ndarray, yaw: float, move: np.ndarray) -> Float[Tensor, "4 4"]:
    """The matrix of a turn about the foot and a move after it."""
    turn = torch.eye(4, dtype=torch.float64)
    turn[:3, :3] = yaw_to_matrix(torch.tensor(yaw, dtype=torch.float64))
    about, there = torch.eye(4, dtype=torch.float64), torch.eye(4, dtype=torch.float64)
    about[:3, 3], there[:3, 3] = torch.from_numpy(-foot), torch.from_numpy(foot + move)
    return there @ turn @ about
