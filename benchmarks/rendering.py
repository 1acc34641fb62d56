"""Rendering speed: images per second for training data, stills and panoramas.

Scenes are made here: five textured bumpy balls of 10 k faces each, placed at random, one camera per scene.
"Everything" is colour with a sun shadow, coverage, masks, depth, normals and materials at 256x256. Moving objects into
place, shadow maps and every channel are inside the timing; compilation (cached on disk) is reported apart.

The last row of pictures is drawn by processes of one thread each, as `scenewright data make --workers` does.

    python -m benchmarks rendering [--images 100] [--threads 2] [--workers 2]
"""

import math
import multiprocessing
import time

import torch

from benchmarks.measure import Report
from scenewright.geometry.camera.cameras import orbit_camera
from scenewright.geometry.rotation import compose_similarity, yaw_to_matrix
from scenewright.rendering.lights import Ambient, Lights, SunLight
from scenewright.rendering.panorama import render_panorama
from scenewright.rendering.render import RenderOptions, render, render_batch
from scenewright.rendering.triangles import TriangleScene, add_ground, pack_objects, place
from scenewright.types import Camera, Mesh, PBRMaterial, SceneObject

SUN = Lights(suns=(SunLight((-0.5, -0.6, 1.0)),), ambient=Ambient(), shadow_size=256, shadow_radius=1)


def bumpy_ball(seed: int, rings: int = 50, sectors: int = 100) -> Mesh:
    """A closed textured surface of 2 rings sectors faces (10 k), radius about 0.4."""
    generator = torch.Generator().manual_seed(seed)
    v, u = torch.meshgrid(torch.linspace(0, 1, rings + 1), torch.linspace(0, 1, sectors + 1), indexing="ij")
    theta, phi = math.pi * v, 2 * math.pi * u
    waves = torch.randint(1, 6, (3, 2), generator=generator)
    radius = 0.4 * (1 + 0.15 * sum(torch.sin(int(a) * phi) * torch.sin(int(b) * theta) for a, b in waves))
    points = torch.stack([theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos()], -1)
    normals = points.reshape(-1, 3)
    points = (points * radius[..., None]).reshape(-1, 3)
    corner = (torch.arange(rings)[:, None] * (sectors + 1) + torch.arange(sectors)).reshape(-1)
    faces = torch.cat(
        [
            torch.stack([corner, corner + sectors + 1, corner + 1], 1),
            torch.stack([corner + 1, corner + sectors + 1, corner + sectors + 2], 1),
        ]
    )
    texture = torch.randint(0, 256, (256, 256, 3), generator=generator).byte()
    material = PBRMaterial(roughness_factor=0.6, base_color_texture=texture)
    return Mesh(points, faces, vertex_normals=normals, uv=torch.stack([u, v], -1).reshape(-1, 2), material=material)


def compose(assets: list[TriangleScene], seed: int, size: int) -> tuple[TriangleScene, Camera]:
    generator = torch.Generator().manual_seed(seed)
    choice = torch.randint(0, len(assets), (5,), generator=generator).tolist()
    spots = 1.6 * torch.rand(5, 3, generator=generator) - 0.8
    spots[:, 2] = 0.4
    yaws = 6.28 * torch.rand(5, generator=generator)
    matrices = [compose_similarity(yaw_to_matrix(yaw), spot) for yaw, spot in zip(yaws, spots, strict=True)]
    camera = orbit_camera(
        torch.tensor([0.0, 0.0, 0.3]), 4.0, yaw_deg=float(yaws[0]) * 57, pitch_deg=25.0, width=size, height=size
    )
    return place([assets[i] for i in choice], matrices), camera


def images_per_second(assets: list[TriangleScene], images: int, options: RenderOptions) -> tuple[float, float]:
    """Images per second of wall clock, and CPU milliseconds per image (which a busy machine does not change)."""
    start, cpu = time.perf_counter(), time.process_time()
    block = 4 * (options.threads or 1)  # as a data loader does: what is drawn is let go before the next is composed
    for first in range(0, images, block):
        count = min(block, images - first)
        scenes, cameras = zip(*(compose(assets, first + i, 256) for i in range(count)), strict=True)
        render_batch(scenes, cameras, [SUN] * count, options)
    return images / (time.perf_counter() - start), 1000 * (time.process_time() - cpu) / images


def draw_beside(barrier, finished, images: int) -> None:
    """One of several processes: prepares, waits for the others, draws, and says when it began and ended."""
    torch.set_num_threads(1)
    assets = pack_objects([SceneObject(f"ball_{i}", (bumpy_ball(i),)) for i in range(16)])
    options = RenderOptions(supersample=1, threads=1, with_channels=True)
    images_per_second(assets, 4, options)
    barrier.wait()
    begin = time.time()
    images_per_second(assets, images, options)
    finished.put((begin, time.time()))


def images_per_second_beside(workers: int, images: int) -> float:
    """Images per second of all processes together."""
    context = multiprocessing.get_context("spawn")
    barrier, finished = context.Barrier(workers), context.Queue()
    processes = [context.Process(target=draw_beside, args=(barrier, finished, images)) for _ in range(workers)]
    for process in processes:
        process.start()
    times = [finished.get() for _ in processes]
    for process in processes:
        process.join()
    return workers * images / (max(end for _, end in times) - min(begin for begin, _ in times))


QUICK = {"images": 2, "threads": 1, "workers": 1}
TARGET = 100.0  # images per second


def section(report: Report, *, images: int = 100, threads: int = 2, workers: int = 2) -> None:
    """Prints a row for each way to draw training pictures, then the seconds of a still and of a panorama."""
    torch.set_num_threads(1)
    start = time.perf_counter()
    assets = pack_objects([SceneObject(f"ball_{i}", (bumpy_ball(i),)) for i in range(16)])
    scene, camera = compose(assets, 0, 256)
    render(scene, camera, SUN, RenderOptions(threads=1))
    faces = 5 * len(assets[0].faces)
    report(f"256 x 256, {faces:,} faces; first call, or its cache, {time.perf_counter() - start:.1f} s.")
    report.table("what", "images per second", "CPU ms per image", "target / reached")
    for name, supersample, channels in (
        ("everything, 1 sample per pixel", 1, True),
        ("everything, colour 2x2 samples", 2, True),
        ("colour only, 2x2 samples", 2, False),
    ):
        options = RenderOptions(supersample=supersample, with_channels=channels, threads=threads)
        rate, cost = images_per_second(assets, images, options)
        report.row(f"{name}, {threads} threads", f"{rate:.0f}", f"{cost:.1f}", f"{TARGET / rate:.2f}")
        # By processor seconds, which other work on the machine stretches least.
        report.ratio(f"{name}: CPU ms / {1000 * threads / TARGET:.0f}", cost * TARGET / 1000 / threads)
    rate = images_per_second_beside(workers, images)
    report.row(f"everything, 1 sample per pixel, {workers} processes", f"{rate:.0f}", "", f"{TARGET / rate:.2f}")
    grounded = add_ground(scene)
    start = time.perf_counter()
    render(grounded, orbit_camera(torch.zeros(3), 4.0, yaw_deg=30.0, pitch_deg=25.0, width=768, height=768))
    still = time.perf_counter() - start
    start = time.perf_counter()
    render_panorama(scene, camera.cam_from_world, 512, SUN, RenderOptions(supersample=1))
    report(f"\nStill of 768 x 768: {still:.2f} s; panorama of 1024 x 512: {time.perf_counter() - start:.2f} s.")
