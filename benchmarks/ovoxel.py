"""Seconds and peak memory of O-Voxel: mesh -> dual grid, dual grid -> mesh, PBR voxels, sampling.

    python -m benchmarks ovoxel [--faces 81920 1310720] [--resolutions 256 512 1024] [--repeats 3] [--huge]

The mesh is the one the published converter was measured on (icosphere of radius 0.35, each vertex scaled by
1 + 0.12 sin(27 x) sin(24 y) sin(21 z)); PEER holds that converter's voxel counts and seconds on a similar machine
(compiled C++, one thread). Each case runs in a process of its own, so peaks are its own; figures are the fastest
of `--repeats` calls after one for compilation. One thread is CPU time, which other work on the machine does not
stretch; all else is wall time. `--only-grid` leaves out the second table; `--huge` adds 10.5 million faces (eight
nested surfaces) at 1024^3.
"""

import math
import time

import numpy as np
import torch
import trimesh
from tests.support.voxel_attributes import mesh_to_voxel_attributes

from benchmarks.measure import Report, in_new_process
from scenewright.geometry.grid_sample import sample_sparse_grid
from scenewright.geometry.ovoxel.dual_grid import DualGridConfig, mesh_to_dual_grid
from scenewright.geometry.ovoxel.dual_grid_mesh import _quads_by_sorting, dual_grid_to_mesh
from scenewright.machine import peak_memory_bytes
from scenewright.types import Mesh, PBRMaterial

PEER = {
    (81920, 256): (167536, 0.46),
    (81920, 512): (670628, 1.31),
    (81920, 1024): (2682080, 5.46),
    (1310720, 256): (167620, 1.55),
    (1310720, 512): (670948, 2.47),
    (1310720, 1024): (2683258, 6.85),
}


def bumpy_sphere(num_faces: int) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=round(math.log(num_faces / 20, 4)), radius=0.35)
    x, y, z = np.asarray(sphere.vertices).T
    bumps = 1 + 0.12 * np.sin(27 * x) * np.sin(24 * y) * np.sin(21 * z)
    return Mesh(torch.tensor(sphere.vertices * bumps[:, None]).float(), torch.tensor(sphere.faces).int())


def nested_spheres(num_faces: int) -> Mesh:
    """Eight bumpy spheres inside one another."""
    one = bumpy_sphere(num_faces // 8)
    scales = torch.linspace(1.0, 0.8, 8)
    faces = torch.cat([one.faces + layer * len(one.vertices) for layer in range(8)])
    return Mesh((scales[:, None, None] * one.vertices).reshape(-1, 3), faces)


def textured(mesh: Mesh) -> Mesh:
    """The mesh with cylindrical UVs and noise textures of 1024 x 1024."""
    uv = torch.stack([torch.atan2(mesh.vertices[:, 1], mesh.vertices[:, 0]) / (2 * math.pi), mesh.vertices[:, 2]], 1)
    noise = torch.randint(0, 256, (1024, 1024, 3), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    return Mesh(
        mesh.vertices,
        mesh.faces,
        uv=uv,
        material=PBRMaterial(base_color_texture=noise, metallic_roughness_texture=noise),
    )


def timed(function, repeats: int, clock=time.perf_counter):
    best, result = math.inf, None
    for _ in range(repeats):
        begin = clock()
        result = function()
        best = min(best, clock() - begin)
    return best, result


def measure(num_faces: int, resolution: int, nested: bool, with_all: bool, repeats: int) -> dict:
    """All figures of one case; run in a fresh process."""
    warm = bumpy_sphere(320)
    begin = time.perf_counter()
    small = mesh_to_dual_grid(warm, 16)
    figures: dict = {"first_call_s": time.perf_counter() - begin}
    mesh = nested_spheres(num_faces) if nested else bumpy_sphere(num_faces)
    before = peak_memory_bytes()
    single = DualGridConfig(num_threads=1)
    figures["one_thread_s"], _ = timed(lambda: mesh_to_dual_grid(mesh, resolution, single), repeats, time.process_time)
    figures["all_threads_s"], grid = timed(lambda: mesh_to_dual_grid(mesh, resolution), repeats)
    figures["voxels"] = len(grid.coords)
    figures["peak_mb"] = (peak_memory_bytes() - before) / 2**20
    if with_all:
        dual_grid_to_mesh(small)
        figures["to_mesh_s"], _ = timed(lambda: dual_grid_to_mesh(grid), repeats)
        figures["to_mesh_plain_s"], _ = timed(lambda: _quads_by_sorting(grid.coords, grid.intersected), 1)
        painted = textured(mesh)
        mesh_to_voxel_attributes([textured(warm)], 16)
        figures["attributes_s"], voxels = timed(lambda: mesh_to_voxel_attributes([painted], resolution), repeats)
        coords = torch.nn.functional.pad(voxels.coords, (1, 0))
        feats = torch.cat([value.float() for value in voxels.attributes.values()], 1)
        points = ((mesh.vertices + 0.5) * resolution).repeat(4_000_000 // len(mesh.vertices) + 1, 1)[:4_000_000]
        sample_sparse_grid(coords[:9], feats[:9], points[None, :9])
        figures["sample_4m_s"], _ = timed(lambda: sample_sparse_grid(coords, feats, points[None]), 1)
    return figures


QUICK = {"faces": (1280,), "resolutions": (32,), "repeats": 1}


def section(
    report: Report,
    *,
    faces: tuple[int, ...] = (81920, 1310720),
    resolutions: tuple[int, ...] = (256, 512, 1024),
    repeats: int = 3,
    only_grid: bool = False,
    huge: bool = False,
) -> None:
    """Prints a row for each mesh and grid, then what else is done with the grid."""
    cases = [(number, resolution, False, not only_grid, repeats) for number in faces for resolution in resolutions]
    if huge:
        cases.append((8 * 1310720, 1024, True, False, 1))
    times = "one thread CPU s", "ratio", "all threads s", "ratio", "peak MB", "first call s"
    report.table("faces", "grid", "voxels", "peer s", *times)
    rest = []
    for case in cases:
        figures = in_new_process(measure, *case)
        voxels, peer = PEER.get(case[:2], (figures["voxels"], math.nan))
        if voxels != figures["voxels"]:
            raise ValueError(f"{case}: {figures['voxels']} voxels, but the published converter makes {voxels}")
        one, many = figures["one_thread_s"], figures["all_threads_s"]
        seconds = f"{one:.2f}", f"{one / peer:.2f}", f"{many:.2f}", f"{many / peer:.2f}"
        report.row(*case[:2], voxels, peer, *seconds, f"{figures['peak_mb']:.0f}", f"{figures['first_call_s']:.1f}")
        report.ratio(f"{case[0]:,} faces, {case[1]}^3: ours / peer", one / peer)
        rest.append((case, figures))
    rest = [(case, figures) for case, figures in rest if "to_mesh_s" in figures]
    if rest:
        names = {
            "to mesh s": "to_mesh_s",
            "plain quads s": "to_mesh_plain_s",
            "PBR attributes s": "attributes_s",
            "4 M samples s": "sample_4m_s",
        }
        report.table("faces", "grid", "voxels", *names)
        for case, figures in rest:
            report.row(*case[:2], figures["voxels"], *(f"{figures[name]:.2f}" for name in names.values()))
