"""InSpace-mini's ways to a room on held-out made rooms: from distances, published, refined, and by sampler.

    python -m scripts.measure_mini_details PACK.zip [PACK2.zip] --rooms 6 --forms distances published refined
        [--weights FOLDER] [--start 0.85] [--steps 8] [--guidance 0] [--texture-steps 4] [--work FOLDER]
        [--out OUT.json]

The rooms are those that no detail flow was trained on (the first of `mini_data.py details`), their distances exact,
their boxes found as in use. Scores are those of `scenewright-room-1`; "layout" is its room without furniture, on both
sides. Told are means, standard errors, and differences to the first way over the same rooms.

    ... --estimated                                  distances as the small network that ships says them
    ... --forms distances --quality standard draft   what a draft loses

    python -m scripts.measure_mini_details PACK.zip [PACK2.zip] --rooms 8 --forms published --start 0.5 0.7 0.85 1
        --texture-steps 1

chooses the time at which shape latents start; texture has no part in it.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scenewright.encoders.records import SMALL_DISTANCE
from scenewright.evaluation.room_scoring import ROOM_PROTOCOLS, RoomTruth, score_room
from scenewright.geometry.mesh.sample import sample_surface, triangle_areas
from scenewright.samplers.config import SamplerConfig, SamplingOverride, quality_named
from scenewright.systems.inspace.made_rooms import RoomModel
from scenewright.systems.inspace.panorama_depth import DepthModel
from scenewright.systems.mini.panorama_system import MiniRoomSettings, mini_rooms
from scenewright.systems.options import GenerateOptions
from scenewright.types import View, merged_mesh
from scripts.mini_data import SEED, selector
from scripts.mini_training.measured import tell
from scripts.mini_training.room_details import ROOMS_PER_CHUNK, model_of

PROTOCOL = ROOM_PROTOCOLS["scenewright-room-1"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packs", type=Path, nargs="+")
    parser.add_argument("--rooms", type=int, default=6)
    parser.add_argument("--forms", nargs="+", default=["distances", "published", "refined"])
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--start", type=float, nargs="+")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--texture-steps", type=int)
    parser.add_argument("--quality", nargs="+", default=["standard"])
    parser.add_argument("--estimated", action="store_true")
    parser.add_argument("--work", type=Path, help="keep stages here, so that another sampler costs its own stage only")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows: dict[str, list[dict[str, float]]] = {}
    for number, model in held_out(given.packs, given.rooms):
        truth = truth_of(model)
        distances = None if given.estimated else truth.distance_m
        view = View(Image.fromarray(truth.rgb.numpy()), depth_m=distances)
        starts = [given.start if given.start and form != "distances" else [None] for form in given.forms]
        ways = [(form, start) for form, choice in zip(given.forms, starts, strict=True) for start in choice]
        for (form, start), quality in product(ways, given.quality):
            settings = settings_of(form, start, given.steps, given.guidance, given.texture_steps)
            work = None if given.work is None else given.work / f"{number}"
            depth = DepthModel(SMALL_DISTANCE) if given.estimated else None
            system = mini_rooms(given.weights, settings, work=work, depth=depth)
            started = time.process_time()
            scene = system.generate(view, options=GenerateOptions(SamplingOverride(quality=quality_named(quality))))
            seconds = time.process_time() - started
            name = form if start is None else f"{form} from {start:g}"
            name = name if len(given.quality) == 1 else f"{name}, {quality}"
            found = dict(score_room(scene, truth, PROTOCOL).metrics)
            shell = replace(scene, objects=tuple(item for item in scene.objects if item.role == "shell"))
            bare = score_room(shell, replace(truth, surfaces=(), areas_m2=()), PROTOCOL).metrics
            found |= {f"layout_f_{tau}": bare[f"room_f_{tau}"] for tau in ("5cm", "10cm")}
            found["seconds"] = seconds
            rows.setdefault(name, []).append(found)
            print(number, name, {key: round(value, 2) for key, value in found.items()}, flush=True)
    tell(rows, "rooms", given.out)


def settings_of(
    form: str, start: float | None, steps: int | None, guidance: float | None, texture_steps: int | None
) -> MiniRoomSettings:
    settings = MiniRoomSettings(form=form)  # type: ignore[arg-type]
    detail = settings.detail
    if start is not None:
        detail = replace(detail, start=start)
    shape = detail.sampler if steps is None else replace(detail.sampler, steps=steps)
    texture = detail.texture_sampler or SamplerConfig()
    if texture_steps is not None:
        texture = replace(texture, steps=texture_steps)
    if guidance is not None:
        shape = replace(shape, guidance_strength=guidance, guidance_interval=(0.0, 1.0))
    return replace(settings, detail=replace(detail, sampler=shape, texture_sampler=texture))


def held_out(packs: Sequence[Path], count: int) -> Iterator[tuple[int, RoomModel]]:
    """Rooms of the chunk that is kept for validation."""
    for number in range(ROOMS_PER_CHUNK):
        model = model_of(selector(tuple(packs)), SEED + 3, number)
        if model is not None and count > 0:
            count -= 1
            yield number, model


def truth_of(model: RoomModel) -> RoomTruth:
    """A made room as the protocols know rooms; the camera stands over the origin and looks along +y."""
    room, rng = model.room, np.random.default_rng(0)
    lift = np.array([0.0, 0.0, -room.floor_m])
    surfaces, areas = [], []
    for parts in model.objects():
        mesh = merged_mesh(list(parts))
        vertices = mesh.vertices.double().numpy() / room.scale + room.center_m + lift
        faces = mesh.faces.long().numpy()
        areas.append(float(triangle_areas(vertices, faces).sum()))
        surfaces.append(sample_surface(vertices, faces, max(64, round(4 * PROTOCOL.points_per_m2 * areas[-1])), rng))
    boxes = room.boxes.astype(np.float64)
    boxes[:, :3] = boxes[:, :3] / room.scale + room.center_m + lift
    boxes[:, 3:6] /= room.scale
    height = -room.floor_m
    pose = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, height], [0, 1, 0, 0], [0, 0, 0, 1]]).double()
    return RoomTruth(
        "made",
        torch.from_numpy(room.rgb),
        torch.from_numpy(room.distance_mm.astype(np.float32) / 1000),
        pose,
        room.polygon_m.astype(np.float64),
        room.ceiling_m - room.floor_m,
        tuple(surfaces),
        tuple(areas),
        boxes,
    )


if __name__ == "__main__":
    main()
