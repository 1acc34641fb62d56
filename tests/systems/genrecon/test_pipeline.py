"""From a capture on disk to a scene of objects, with tiny networks; interrupted runs end in the same bytes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scenewright.errors import InputError
from scenewright.geometry.mesh.edges import edge_table
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.samplers.config import SamplerConfig
from scenewright.systems.genrecon.captures import Capture, aligned, read_capture
from scenewright.systems.genrecon.instances import LabelledView
from scenewright.systems.genrecon.lattice import ChunkLattice
from scenewright.systems.genrecon.pipeline import KeptStages, ReconstructOptions, SceneSurface, reconstruct
from scenewright.systems.genrecon.scene_assembly import scene_objects
from scenewright.systems.genrecon.scene_pieces import published_shell
from scenewright.systems.genrecon.scene_plan import PlanOptions, ScenePlan, plan_scene
from tests.systems.genrecon.tiny import TinyNetworks
from tests.systems.genrecon.tiny_capture import write_capture

FEW_STEPS = SamplerConfig(steps=2, guidance_strength=1.0, guidance_interval=(0.5, 1.0), guidance_rescale=0.5)
OPTIONS = ReconstructOptions(
    plan=PlanOptions(max_views=5, min_points_per_chunk=100, lattice_cells=4),
    structure_sampler=FEW_STEPS,
    shape_sampler=FEW_STEPS,
    texture_sampler=replace(FEW_STEPS, guidance_strength=0.0),
    occupancy_threshold=0.0,
    image_size=32,
    max_cells=500,
    margin_cells=4,
    finish=FinishOptions(max_faces=300, texture_size=128, orient=True, double_sided=True, unwrap_method="boxes"),
)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Capture, ScenePlan]:
    capture = aligned(read_capture(write_capture(tmp_path_factory.mktemp("capture"))))
    return capture, plan_scene(capture, OPTIONS.plan)


@pytest.fixture(scope="module")
def whole(planned: tuple[Capture, ScenePlan]) -> SceneSurface:
    capture, plan = planned
    return reconstruct(capture, plan, TinyNetworks(), OPTIONS, seed=3)


def test_plan_reads_squares_of_all_sides(planned: tuple[Capture, ScenePlan]) -> None:
    capture, plan = planned
    assert len(plan.views) == 10  # two squares of each of five pictures
    assert len(plan.chunk_views) == len(plan.chunks.centres) == 2
    depth = torch.tensor([0.0, 0.0, 0.0, 1.0]) @ plan.views[0].cam_from_joint.T
    pose = capture.pictures[plan.views[0].picture].camera.cam_from_world
    expected = pose @ torch.cat([plan.chunks.centres[0], torch.ones(1).double()])
    torch.testing.assert_close(depth, expected.float())


def test_an_interrupted_run_ends_in_the_same_bytes(
    planned: tuple[Capture, ScenePlan], whole: SceneSurface, tmp_path: Path
) -> None:
    capture, plan = planned
    assert len(whole.mesh.faces) > 300

    class Stopped(Exception):
        pass

    class Interrupted(TinyNetworks):
        def texture_flow(self):
            raise Stopped

    with pytest.raises(Stopped):
        reconstruct(capture, plan, Interrupted(), OPTIONS, seed=3, keep_in=tmp_path)
    networks = TinyNetworks()
    resumed = reconstruct(capture, plan, networks, OPTIONS, seed=3, keep_in=tmp_path)
    assert networks.calls == ["texture_flow"]
    assert torch.equal(resumed.mesh.vertices, whole.mesh.vertices)
    assert torch.equal(resumed.mesh.faces, whole.mesh.faces)
    assert torch.equal(resumed.materials.materials, whole.materials.materials)
    # A damaged result is made again; another seed shares nothing.
    part = next(tmp_path.glob("part_*.safetensors"))
    part.write_bytes(part.read_bytes()[:40])
    again = reconstruct(capture, plan, TinyNetworks(), OPTIONS, seed=3, keep_in=tmp_path)
    assert torch.equal(again.mesh.faces, whole.mesh.faces)

    class Anew(TinyNetworks):
        def structure_flow(self):
            raise Stopped

    with pytest.raises(Stopped):
        reconstruct(capture, plan, Anew(), OPTIONS, seed=4, keep_in=tmp_path)


def test_batches_and_parts_do_not_change_the_surface(planned: tuple[Capture, ScenePlan], whole: SceneSurface) -> None:
    capture, plan = planned
    several = reconstruct(capture, plan, TinyNetworks(), replace(OPTIONS, chunks_at_once=2, max_cells=10**6), seed=3)
    assert len(whole.mesh.faces) == len(several.mesh.faces)
    torch.testing.assert_close(whole.mesh.vertices, several.mesh.vertices, atol=1e-4, rtol=1e-4)


def test_chunks_between_cells_are_refused(planned: tuple[Capture, ScenePlan]) -> None:
    capture, plan = planned
    centres = plan.chunks.centres.clone()
    centres[1, 0] += plan.chunks.size / 16
    moved = replace(plan, chunks=replace(plan.chunks, centres=centres))
    with pytest.raises(InputError, match="lattice_cells=4"):
        reconstruct(capture, moved, TinyNetworks(), OPTIONS)


def test_no_points_and_no_frame_are_told(planned: tuple[Capture, ScenePlan]) -> None:
    capture, _ = planned
    empty = replace(capture, **{name: getattr(capture, name)[:0] for name in ("points", "error_px", "track_length")})
    with pytest.raises(InputError, match="no points to measure"):
        plan_scene(empty)
    with pytest.raises(InputError, match="turn it upright"):
        plan_scene(replace(capture, world_from_capture=None))


def test_scene_of_chunks_and_of_objects(
    planned: tuple[Capture, ScenePlan], whole: SceneSurface, tmp_path: Path
) -> None:
    capture, plan = planned
    chunks = scene_objects(whole, plan, finish=OPTIONS.finish)
    assert [item.name for item in chunks] == [f"chunk_{k:03d}" for k in range(len(plan.chunks.centres))]
    bounds = torch.stack([item.world_bounds() for item in chunks])
    half = plan.chunks.size / 2
    assert (bounds[:, 0].amin(0) > plan.chunks.centres.amin(0) - 1.1 * half).all()
    assert (bounds[:, 1].amax(0) < plan.chunks.centres.amax(0) + 1.1 * half).all()
    assert all(part.material is not None and part.uv is not None for item in chunks for part in item.parts)
    # Pieces meet: at borders they have the same vertices and normals.
    count = sum(len(part.faces) for item in chunks for part in item.parts)
    labels = torch.zeros(capture.pictures[0].camera.height, capture.pictures[0].camera.width, dtype=torch.long)
    labels[20:60, 30:60] = 7
    views = [LabelledView(picture.camera, labels, {7: "sofa"}) for picture in capture.pictures[:2]]
    stages = KeptStages(tmp_path, "key")
    objects = scene_objects(whole, plan, labelled=views, finish=OPTIONS.finish, stages=stages)
    sofa = next(item for item in objects if item.name == "sofa")
    assert sofa.role == "object"
    assert sofa.box is not None
    assert 0 < sofa.confidence <= 1
    assert {item.name for item in objects if item.role == "shell"} <= {"floor", "ceiling", "walls"}
    assert sum(len(part.faces) for item in objects for part in item.parts) >= count
    again = scene_objects(whole, plan, labelled=views, finish=OPTIONS.finish, stages=stages)
    assert all(
        torch.equal(mine.vertices, other.vertices)
        for item, same in zip(objects, again, strict=True)
        for mine, other in zip(item.parts, same.parts, strict=True)
    )


def test_the_published_assembly_is_a_closed_shell_by_chunk(
    planned: tuple[Capture, ScenePlan], whole: SceneSurface
) -> None:
    capture, plan = planned
    finish = replace(OPTIONS.finish, max_faces=400)
    pieces = scene_objects(whole, plan, finish=finish, published=True)
    assert [item.name for item in pieces] == [f"chunk_{k:03d}" for k in range(len(plan.chunks.centres))]
    assert all(part.material is not None and len(part.faces) <= 450 for item in pieces for part in item.parts)
    lattice = ChunkLattice.from_translations(plan.chunks.relative_translation.float(), whole.materials.voxels_per_side)
    shell = published_shell(whole.mesh, lattice, plan.chunks.size)
    assert (edge_table(shell.faces).count % 2 == 0).all()  # no border
    voxel = 1 / whole.materials.voxels_per_side
    assert (shell.vertices.amin(0) > whole.mesh.vertices.amin(0) - 2 * voxel).all()
    assert (shell.vertices.amax(0) < whole.mesh.vertices.amax(0) + 2 * voxel).all()
    labels = torch.zeros(capture.pictures[0].camera.height, capture.pictures[0].camera.width, dtype=torch.long)
    with pytest.raises(InputError, match="leave the masks out"):
        scene_objects(whole, plan, published=True, labelled=[LabelledView(capture.pictures[0].camera, labels)])
