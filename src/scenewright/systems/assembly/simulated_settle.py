"""Rest a scene in MuJoCo (extra `sim`): convex colliders, mass and friction of every object, gravity, a floor.

    out of each other by `settle` -> let down slowly, speed capped -> let go until the kinetic energy is small

What would fall far, topple or be thrown out by what it overlaps stays where it was, is named with the reason, and
counts as fastened from then on (`role` fixture: exports weld it); then the rest is tried again. A picture on a wall
ends there. Two of these whose colliders overlap are moved apart. Fixtures, shells and what the caller holds do not move
at all.

Frame: world z up, metres, or the scene's unit where its scale is not known. Deterministic on one machine.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from scenewright.errors import MissingExtraError
from scenewright.geometry.bodies.colliders import ColliderKind
from scenewright.geometry.rotation import matrix_to_quaternion_wxyz
from scenewright.io.mjcf import IMPRATIO
from scenewright.io.rigid_bodies import RigidBody, rigid_bodies, split_placement, with_physics
from scenewright.progress import SILENT, Progress
from scenewright.systems.assembly.settle import settle_scene
from scenewright.types import Physics, Scene, SceneObject

__all__ = ["SimulatedSettleReport", "SimulationOptions", "can_simulate", "simulate_settle"]


@dataclass(frozen=True)
class SimulationOptions:
    """Bounds of settling by simulation; lengths are in the scene's unit.

    Attributes:
        max_move: share of the scene's longest side that any point of an object may move; beyond it the object stays.
        max_tilt_deg: how far an object may lean over.
        rest_speed: an object is calm when its kinetic energy is below that of its mass at this speed.
        rest_seconds: the scene rests when all objects have been calm for so long.
        max_seconds: simulated time after which objects that still move count as not resting.
    """

    max_move: float = 0.1
    max_tilt_deg: float = 20.0
    rest_speed: float = 0.001
    rest_seconds: float = 0.5
    max_seconds: float = 10.0


@dataclass(frozen=True)
class SimulatedSettleReport:
    """Penetration of colliders by pair of names (only above 0.1 mm), how far each object moved and turned, who stayed.

    `kept` gives for every object that stayed the reason. `is_at_rest` is False where time ran out.
    """

    depths_before: dict[tuple[str, str], float]
    depths_after: dict[tuple[str, str], float]
    moves: dict[str, tuple[float, float]]
    kept: dict[str, str]
    seconds: float
    is_at_rest: bool

    def as_json(self) -> dict[str, Any]:
        """Plain JSON data, with the keys of the translation-only report where both have a value."""

        def pairs(depths: dict[tuple[str, str], float]) -> list[dict[str, Any]]:
            return [{"objects": list(names), "depth": depth} for names, depth in depths.items()]

        return {
            "method": "mujoco",
            "penetration_before": pairs(self.depths_before),
            "penetration_after": pairs(self.depths_after),
            "moves": {name: {"distance": distance, "degrees": turn} for name, (distance, turn) in self.moves.items()},
            "kept": self.kept,
            "simulated_seconds": self.seconds,
            "is_at_rest": self.is_at_rest,
        }


def can_simulate() -> bool:
    """Whether MuJoCo and the decomposition are installed (extra `sim`)."""
    try:
        import mujoco  # noqa: F401
        import vhacdx  # noqa: F401
    except ImportError:
        return False
    return True


def simulate_settle(
    scene: Scene,
    kind: ColliderKind = "decomposition",
    *,
    floor_z: float = 0.0,
    movable: Collection[str] | None = None,
    options: SimulationOptions = SimulationOptions(),
    progress: Progress = SILENT,
) -> tuple[Scene, SimulatedSettleReport]:
    """The scene with its objects at rest, and what was done.

    Args:
        kind: colliders, which should be those that the scene will be exported with.
        floor_z: height of the floor.
        movable: names of the objects that may move; None all. The others hold still.

    Raises:
        MissingExtraError: the extra `sim` is not installed.
    """
    if not can_simulate():
        raise MissingExtraError("Settling by simulation", "sim")
    rows = [row for row, item in enumerate(scene.objects) if any(len(part.faces) for part in item.parts)]
    if not rows:
        return scene, SimulatedSettleReport({}, {}, {}, {}, 0.0, True)
    solid = replace(scene, objects=tuple(scene.objects[row] for row in rows))
    filled, _ = with_physics(solid, kind, progress=progress)
    held = {
        number
        for number, item in enumerate(filled.objects)
        if _physics(item).is_static or (movable is not None and item.name not in movable)
    }
    free = {item.name for number, item in enumerate(filled.objects) if number not in held}
    start, _ = settle_scene(solid, floor_z=floor_z, movable=free)
    world = _World(rigid_bodies(filled, Path("scene")), options, floor_z, _longest_side(solid))
    begin = [_pose(item) for item in start.objects]
    advance = progress.stage("settle")
    kept: dict[int, str] = {}
    while True:
        begin = world.apart(begin, held, kept)
        end, seconds, is_at_rest, strayed = world.simulate(begin, held | kept.keys())
        if strayed is None:
            break
        kept |= strayed
        advance(len(kept), len(rows))
    objects, moves = list(scene.objects), {}
    for number, row in enumerate(rows):
        item, was = scene.objects[row], _pose(scene.objects[row])
        distance, degrees = world.displacement(number, was, end[number])
        if distance > 1e-6:
            moves[item.name] = (distance, degrees)
            change = torch.from_numpy(end[number] @ np.linalg.inv(was)).to(item.world_from_object.dtype)
            item = replace(item, world_from_object=change @ item.world_from_object)
        objects[row] = replace(item, role="fixture") if number in kept else item
    names = [scene.objects[row].name for row in rows]

    def named(depths: dict[tuple[int, int], float]) -> dict[tuple[str, str], float]:
        return {(names[first], names[second]): depth for (first, second), depth in depths.items()}

    report = SimulatedSettleReport(
        named(world.depths([_pose(item) for item in solid.objects])),
        named(world.depths(end)),
        moves,
        {names[number]: reason for number, reason in kept.items()},
        seconds,
        is_at_rest,
    )
    return replace(scene, objects=tuple(objects)), report


class _World:
    """The bodies as MuJoCo has them; poses are matrices of rotation and translation, in the order of the bodies."""

    def __init__(self, bodies: tuple[RigidBody, ...], options: SimulationOptions, floor_z: float, side: float) -> None:
        self._bodies, self._options, self._floor_z = bodies, options, floor_z
        self._max_move = options.max_move * side
        self._corners = [_corners(body) for body in bodies]
        self._measured = self._model([np.eye(4)] * len(bodies), frozenset(), with_floor=False)

    def _model(self, poses: list[np.ndarray], held: Collection[int], *, with_floor: bool = True) -> Any:
        import mujoco

        spec = mujoco.MjSpec()
        spec.option.cone, spec.option.impratio = mujoco.mjtCone.mjCONE_ELLIPTIC, IMPRATIO
        if with_floor:
            plane = mujoco.mjtGeom.mjGEOM_PLANE
            spec.worldbody.add_geom(type=plane, size=[0, 0, 0.1], pos=[0, 0, self._floor_z], condim=4)
        for number, (body, pose) in enumerate(zip(self._bodies, poses, strict=True)):
            inertia = body.mass.inertia
            entry = spec.worldbody.add_body(name=f"body_{number}", pos=pose[:3, 3], quat=_quaternion(pose))
            entry.explicitinertial, entry.mass, entry.ipos = True, body.mass.volume, body.mass.centre
            entry.fullinertia = [inertia[i, j] for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
            if number not in held:
                entry.add_freejoint()
            for piece, collider in enumerate(body.colliders):
                name = f"body_{number}_{piece}"
                vertices = collider.mesh.vertices.numpy().reshape(-1)
                spec.add_mesh(name=name, uservert=vertices, userface=collider.mesh.faces.numpy().reshape(-1))
                friction = [body.physics.friction, 0.005, 0.0001]
                entry.add_geom(type=mujoco.mjtGeom.mjGEOM_MESH, meshname=name, friction=friction, condim=4)
        return spec.compile()

    def simulate(
        self, begin: list[np.ndarray], held: Collection[int]
    ) -> tuple[list[np.ndarray], float, bool, dict[int, str] | None]:
        """Poses at the end, simulated seconds, whether all rest; or the first objects that may not go on, and why."""
        import mujoco

        model = self._model(begin, held)
        data = mujoco.MjData(model)
        free = [number for number in range(len(begin)) if number not in held]
        calm, is_gentle, steps = 0, True, 0
        needed = round(self._options.rest_seconds / model.opt.timestep)
        limit = round(self._options.max_seconds / model.opt.timestep)
        while steps < limit and calm < needed:
            mujoco.mj_step(model, data)
            steps += 1
            calm = calm + 1 if _is_calm(model, data, self._options.rest_speed) else 0
            if is_gentle:
                data.qvel *= _DAMPING
                if calm >= needed or steps >= limit // 2:
                    is_gentle, calm = False, 0
            if steps % _CHECKED_STEPS == 0 or calm >= needed:
                strayed = {}
                for number in free:
                    distance, degrees = self.displacement(number, begin[number], _read(data, number))
                    if distance > self._max_move:
                        strayed[number] = f"it would move {distance:.2f} m"
                    elif degrees > self._options.max_tilt_deg:
                        strayed[number] = f"it would lean over by {degrees:.0f} degrees"
                if strayed:
                    return [], 0.0, False, strayed
        if calm < needed and (restless := [number for number in free if _speed(model, data, number) > _RESTLESS]):
            return (
                [],
                0.0,
                False,
                dict.fromkeys(restless, f"it does not come to rest in {self._options.max_seconds:g} s"),
            )
        return [_read(data, number) for number in range(len(begin))], steps * model.opt.timestep, calm >= needed, None

    def apart(self, begin: list[np.ndarray], held: Collection[int], kept: Collection[int]) -> list[np.ndarray]:
        """Poses with those in `kept` moved out of each other and of those in `held`, upwards or sideways.

        Where that would move one too far, or does not end, the poses at which the deepest overlap was least.
        """
        poses, best, least = [pose.copy() for pose in begin], begin, math.inf
        for _ in range(_MOST_PUSHES * len(kept)):
            found = [
                (depth, first, second, normal)
                for (first, second), (depth, normal) in self._overlaps(poses).items()
                if (first in kept and (second in kept or second in held)) or (second in kept and first in held)
            ]
            depth, first, second, normal = max(found, key=lambda entry: entry[0], default=(0.0, 0, 0, np.zeros(3)))
            if depth < least:
                best, least = [pose.copy() for pose in poses], depth
            if depth <= _TOUCHING:
                break
            mover, way = second, normal
            if second not in kept or (first in kept and normal[2] < -_LEVEL):
                mover, way = first, -normal
            if way[2] < -_LEVEL:
                flat = way * [1, 1, 0]
                if np.linalg.norm(flat) < _LEVEL:
                    break
                way = flat / (flat @ flat)
            poses[mover][:3, 3] += depth * way
            if np.linalg.norm(poses[mover][:3, 3] - begin[mover][:3, 3]) > self._max_move:
                break
        return best

    def depths(self, poses: list[np.ndarray]) -> dict[tuple[int, int], float]:
        """Penetration of the colliders of each pair, where it is more than 0.1 mm."""
        return {pair: depth for pair, (depth, _) in self._overlaps(poses).items()}

    def _overlaps(self, poses: list[np.ndarray]) -> dict[tuple[int, int], tuple[float, Float[np.ndarray, "3"]]]:
        """The depth of the deepest contact of each pair, and the way out of it for the second."""
        import mujoco

        model = self._measured
        data = mujoco.MjData(model)
        for number, pose in enumerate(poses):
            data.qpos[7 * number : 7 * number + 3] = pose[:3, 3]
            data.qpos[7 * number + 3 : 7 * number + 7] = _quaternion(pose)
        mujoco.mj_forward(model, data)
        found: dict[tuple[int, int], tuple[float, np.ndarray]] = {}
        for contact in data.contact:
            first, second = (int(model.geom_bodyid[geom]) - 1 for geom in contact.geom)
            normal = contact.frame[:3].copy()
            if first > second:
                first, second, normal = second, first, -normal
            depth = -float(contact.dist)
            if depth > max(_MIN_DEPTH, found.get((first, second), (0.0, normal))[0]):
                found[first, second] = depth, normal
        return found

    def displacement(self, number: int, before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
        """The way of the farthest corner of the colliders, and the angle by which the upright axis leans."""
        corners = self._corners[number]
        moved = corners @ (after - before)[:3, :3].T + (after - before)[:3, 3]
        cosine = float(np.clip((after @ np.linalg.inv(before))[2, 2], -1, 1))
        return float(np.linalg.norm(moved, axis=1).max()), math.degrees(math.acos(cosine))


# Speed that is left after a step while objects are let down, so that none falls faster than 0.2 m/s.
_DAMPING = 0.9
_CHECKED_STEPS = 10
_MIN_DEPTH = 1e-4
# Something as fast as that moves by a centimetre in five seconds.
_RESTLESS = 0.002
# Half of what counts as an overlap; a way out that sinks by less than this share counts as level.
_TOUCHING, _LEVEL = 1e-3, 0.05
_MOST_PUSHES = 20


def _physics(item: SceneObject) -> Physics:
    assert item.physics is not None
    return item.physics


def _pose(item: SceneObject) -> Float[np.ndarray, "4 4"]:
    _, rotation, translation = split_placement(item)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, translation
    return pose


def _quaternion(pose: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4"]:
    return matrix_to_quaternion_wxyz(torch.from_numpy(pose[:3, :3])).numpy()


def _read(data: Any, number: int) -> Float[np.ndarray, "4 4"]:
    body = data.body(f"body_{number}")
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = body.xmat.reshape(3, 3), body.xpos
    return pose


def _speed(model: Any, data: Any, number: int) -> float:
    """The speed of a body's centre of mass, with that of its turning about it at its radius of gyration."""
    row = number + 1
    moving, turning = np.linalg.norm(data.cvel[row, 3:]), np.linalg.norm(data.cvel[row, :3])
    return float(moving + turning * math.sqrt(model.body_inertia[row].max() / model.body_mass[row]))


def _is_calm(model: Any, data: Any, speed: float) -> bool:
    """Whether no body has more kinetic energy than its mass at that speed."""
    turning, moving = data.cvel[1:, :3], data.cvel[1:, 3:]
    mass, inertia = model.body_mass[1:], model.body_inertia[1:].max(1)
    energy = mass * (moving**2).sum(1) + inertia * (turning**2).sum(1)
    return bool((energy < mass * speed**2).all())


def _corners(body: RigidBody) -> Float[np.ndarray, "N 3"]:
    return np.concatenate([collider.mesh.vertices.numpy() for collider in body.colliders])


def _longest_side(scene: Scene) -> float:
    bounds = torch.stack([item.world_bounds() for item in scene.objects])
    return float((bounds[:, 1].amax(0) - bounds[:, 0].amin(0)).max())
