"""Export and settling: seconds and memory of a scene of 12 objects, and what becomes of given scenes.

    python -m benchmarks export --furniture FURNITURE  a folder of .glb models, of which 12 are set up on a floor
    python -m benchmarks.export rest FOLDER SCENE...   settles, exports to MJCF, simulates 5 s; prints a row per scene
    python -m benchmarks.export profiles FOLDER SCENE...   writes each scene in every profile; prints a row per profile

Each format is written by a process of its own, so that peaks of memory are its own. `rest` and `profiles` keep the
numbers of a scene in FOLDER/rest_SCENE.json and FOLDER/PROFILE_SCENE.json as soon as they have them and do not measure
it again, so that a run goes on where another one ended, and several may share the work.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.measure import MissingError, Report
from scenewright.io.atomic import write_bytes
from scenewright.io.glb import load_glb, save_glb
from scenewright.io.rigid_bodies import with_physics
from scenewright.io.scene_file import load_scene, save_scene
from scenewright.runs.profiles import PROFILES, Profile, profiled, quality_of, writer_for
from scenewright.types import Scene, SceneObject

FORMATS = (".glb", ".xml", ".urdf", ".usdc", ".usdz")
_MEASURED = """
import resource, sys, time
from scenewright.io.conversion import convert
begin, cpu = time.perf_counter(), time.process_time()
convert(sys.argv[1], sys.argv[2], colliders="decomposition", report=lambda line: None)
used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(time.perf_counter() - begin, time.process_time() - cpu, used)
"""


FURNITURE = Path(__file__).parents[1] / "tests/data/furniture"
QUICK = {"objects": 1, "formats": (".glb",)}


def section(
    report: Report, *, furniture: Path = FURNITURE, objects: int = 12, formats: tuple[str, ...] = FORMATS
) -> None:
    """Prints a row for each format, and the seconds of settling."""
    models = sorted(furniture.glob("*.glb"))
    if not models:
        raise MissingError(f"a folder of .glb models (--furniture; '{furniture}' has none)")
    scene = _set_up(models, objects)
    faces = sum(len(part.faces) for item in scene.objects for part in item.parts)
    report(f"{objects} objects, {faces:,} faces.")
    report.table("format", "s per object", "CPU s per object", "peak MB")
    with tempfile.TemporaryDirectory() as folder:
        source = save_glb(scene, Path(folder) / "scene.glb")
        for suffix in formats:
            words = [sys.executable, "-c", _MEASURED, str(source), str(Path(folder) / f"out{suffix}")]
            said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split()
            wall, cpu, peak = (float(number) for number in said[-3:])
            report.row(suffix, f"{wall / objects:.2f}", f"{cpu / objects:.2f}", f"{peak:.0f}")
            report.ratio(f"{suffix}: CPU s an object / 1", cpu / objects)
    from scenewright.systems.assembly.simulated_settle import simulate_settle

    simulate_settle(Scene(scene.objects[:1], is_metric=True))  # compiles
    begin, cpu = time.perf_counter(), time.process_time()
    _, found = simulate_settle(scene)
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    report(f"\nSettling: {wall:.1f} s, {cpu:.1f} CPU s; at rest: {found.is_at_rest}, kept: {len(found.kept)}.")
    report.ratio("settling: CPU s / 10", cpu / 10)


def rest(folder: Path, paths: list[Path]) -> None:
    """Prints a row per scene, and the shares of scenes that rest."""
    folder.mkdir(parents=True, exist_ok=True)
    print("| scene | objects | deepest before, mm | after, mm | kept | farthest move, mm | in 5 s, mm | CPU s |")
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for path in paths:
        row = _kept(folder / f"rest_{_name(path)}.json", lambda: _rested(path))
        rows.append(row)
        numbers = f"{row['depth_before_mm']:.1f} | {row['depth_after_mm']:.1f} | {row['kept']} | {row['move_mm']:.0f}"
        print(
            f"| {_name(path)} | {row['objects']} | {numbers} | {row['way_mm']:.1f} | {row['cpu_seconds']:.1f} |",
            flush=True,
        )
    is_apart, is_still = ([row[key] <= most for row in rows] for key, most in (("depth_after_mm", 2), ("way_mm", 10)))
    print(
        f"\n{sum(is_apart)} of {len(rows)} scenes have no pair deeper than 2 mm, in {sum(is_still)} nothing moves more "
        f"than 1 cm in 5 s, both: {sum(map(all, zip(is_apart, is_still, strict=True)))}; "
        f"{sum(row['kept'] for row in rows)} of {sum(row['objects'] for row in rows)} objects were kept."
    )


def _rested(path: Path) -> dict[str, Any]:
    import mujoco

    from scenewright.systems.assembly.simulated_settle import simulate_settle

    scene = replace(load_scene(path), is_metric=True)
    begin = time.process_time()
    settled, report = simulate_settle(scene)
    seconds = time.process_time() - begin
    with tempfile.TemporaryDirectory() as folder:
        file = save_scene(with_physics(settled, "decomposition")[0], Path(folder) / "out.xml")
        model = mujoco.MjModel.from_xml_path(str(file))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    start, way = data.xipos.copy(), 0.0
    for _ in range(round(5 / model.opt.timestep)):
        mujoco.mj_step(model, data)
        way = max(way, float(np.linalg.norm(data.xipos - start, axis=1).max()))
    before, after = (max(found.values(), default=0.0) for found in (report.depths_before, report.depths_after))
    return {
        "objects": len(scene.objects),
        "depth_before_mm": 1000 * before,
        "depth_after_mm": 1000 * after,
        "kept": len(report.kept),
        "move_mm": 1000 * max((distance for distance, _ in report.moves.values()), default=0.0),
        "way_mm": 1000 * way,
        "cpu_seconds": seconds,
    }


def _kept(path: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The numbers from `path` where they are there; otherwise measured, and kept there."""
    if not path.exists():
        write_bytes(path, json.dumps(measure(), indent=1).encode())
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _name(path: Path) -> str:
    return path.parent.name if path.stem == "gt" else path.stem


def profiles(folder: Path, paths: list[Path]) -> None:
    """Prints the numbers of all objects per profile, and every gate that does not hold."""
    folder.mkdir(parents=True, exist_ok=True)
    print(
        "| profile | objects | faces: median, most | watertight | open edges | non-manifold edges | components |",
        end="",
    )
    print(" UV coverage, overlap | texels a unit | texture range | MB a scene | CPU s a scene | gates that fail |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    failed: list[str] = []
    for profile in PROFILES:
        measured = [
            _kept(folder / f"{profile.name}_{_name(path)}.json", lambda: _profiled(profile, path)) for path in paths
        ]
        found = [numbers for scene in measured for numbers in scene["objects"].values()]
        now = [f"{profile.name}, {scene['scene']}: {sentence}" for scene in measured for sentence in scene["failed"]]
        failed += now
        faces = [item["num_faces"] for item in found]
        drawn = [item for item in found if item["uv_coverage"] is not None]
        cells = [
            f"`{profile.name}`",
            f"{len(found)}",
            f"{np.median(faces):,.0f}, {max(faces):,}",
            f"{sum(item['is_watertight'] for item in found)}",
            f"{sum(item['num_boundary_edges'] for item in found):,}",
            f"{sum(item['num_nonmanifold_edges'] for item in found):,}",
            f"{np.median([item['num_components'] for item in found]):.0f}",
        ]
        if drawn:
            cover, overlap = (np.median([item[f"uv_{name}"] for item in drawn]) for name in ("coverage", "overlap"))
            density = np.median([item["texel_density"] for item in drawn if item["texel_density"] is not None])
            ranges = [item["texture_range"] for item in drawn if item["texture_range"] is not None]
            low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
            cells += [f"{cover:.2f}, {overlap:.2f}", f"{density:.0f}", f"{low} to {high}"]
        else:
            cells += ["no textures", "-", "-"]
        size, seconds = (np.mean([scene[key] for scene in measured]) for key in ("file_bytes", "cpu_seconds"))
        print(f"| {' | '.join([*cells, f'{size / 1e6:.2f}', f'{seconds:.0f}', str(len(now))])} |", flush=True)
    print("", *failed, sep="\n")


def _profiled(profile: Profile, path: Path) -> dict[str, Any]:
    begin = time.process_time()
    scene = profiled(load_scene(path), profile)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "scene.glb"
        write = writer_for(scene, profile, target)
        assert write is not None
        quality = quality_of(scene, profile, write(scene, target))
    return {"scene": _name(path), "cpu_seconds": time.process_time() - begin} | asdict(quality)


def _set_up(models: list[Path], count: int) -> Scene:
    objects = []
    for number in range(count):
        (item, *_) = load_glb(models[number % len(models)]).objects
        low, high = item.world_bounds()
        place = torch.eye(4)
        place[:3, 3] = torch.tensor([2.5 * (number % 4), 2.5 * (number // 4), 0.02])
        place[:3, 3] -= torch.tensor([*((low + high) / 2)[:2], low[2]])
        objects.append(SceneObject(f"object_{number}", item.parts, world_from_object=place @ item.world_from_object))
    return Scene(tuple(objects), is_metric=True)


if __name__ == "__main__":
    command, folder, *words = sys.argv[1:]
    {"rest": rest, "profiles": profiles}[command](Path(folder), [Path(word) for word in words])
