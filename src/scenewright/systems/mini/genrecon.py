"""GenRecon with the weights that ship: a whole place from posed pictures and points, on two processor cores.

The frame is GenRecon's: the same captures, plan and chunks, features projected from the pictures into every cell,
overlapping chunks made to agree, one surface of all, pieces, objects and file. In place of its three flows of 1.3
billion weights each stands one small network that also reads the points (`room_network`), and colours come from the
photographs (`systems.genrecon.photographs`). docs/mini.md says what that costs and brings.

    Capture -> plan_scene -> predicted_field -> surface -> photographs' colours -> SceneSurface
"""

from collections.abc import Mapping
from pathlib import Path

import torch

from scenewright.errors import EmptyStructureError
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.threads import one_torch_thread
from scenewright.progress import SILENT, Progress
from scenewright.systems.genrecon.captures import Capture
from scenewright.systems.genrecon.photographs import Photographs, chosen_pictures, photographed
from scenewright.systems.genrecon.pipeline import KeptStages, ReconstructOptions, SceneSurface, reconstruction_key
from scenewright.systems.genrecon.scene_plan import PlanOptions, ScenePlan
from scenewright.systems.genrecon.seen_points import capture_points
from scenewright.systems.genrecon.system import CaptureSystem
from scenewright.systems.loading import OpenOptions
from scenewright.systems.mini.conditioner import PictureConditioner
from scenewright.systems.mini.networks import genrecon_files, load_network
from scenewright.systems.mini.room_evidence import encoded_views
from scenewright.systems.mini.room_network import RoomNetwork
from scenewright.systems.mini.room_surface import predicted_field, surface_of_field
from scenewright.types import Mesh
from scenewright.weights.hub import sha256_of

__all__ = ["MINI_OPTIONS", "MiniGenRecon", "open_genrecon"]

MINI_OPTIONS = ReconstructOptions(
    plan=PlanOptions(min_points_per_chunk=60),
    finish=FinishOptions(
        max_faces=12_000,
        texture_size=512,
        max_hole_perimeter=0.05,
        min_floater_area=2e-4,
        smooth_steps=2,
        double_sided=True,
        alpha_mode="OPAQUE",
    ),
)
"""Per chunk 12,000 faces, and a texture of 512 texels for each piece."""


UNSEEN_REACH_M = 0.25
"""Surfaces further than this from all that a picture shows, such as the far side of a wall, are left out."""


class MiniGenRecon(CaptureSystem):
    """See the module."""

    def __init__(
        self,
        network: RoomNetwork,
        conditioner: PictureConditioner,
        files: Mapping[str, Path],
        options: ReconstructOptions = MINI_OPTIONS,
    ) -> None:
        super().__init__(options)
        self.network, self.conditioner, self.files = network, conditioner, dict(files)

    generate = one_torch_thread()(CaptureSystem.generate)
    generate_capture = one_torch_thread()(CaptureSystem.generate_capture)

    def surface(
        self,
        capture: Capture,
        plan: ScenePlan,
        options: ReconstructOptions,
        *,
        seed: int,
        keep_in: Path | None = None,
        progress: Progress = SILENT,
    ) -> SceneSurface:
        """See `CaptureSystem.surface`.

        Raises:
            InputError: the capture has no points.
            EmptyStructureError: there is no surface anywhere.
        """
        photographs = Photographs.of_plan(capture, plan, progress)
        poses, unit = photographs.cam_from_world, photographs.intrinsics_unit

        def build() -> Mesh:
            views = encoded_views(self.conditioner, photographs.pictures, poses, unit)
            points = capture_points(capture, chosen_pictures(plan), poses, unit)
            field = predicted_field(self.network, plan.chunks, points, views, advance=progress.stage("structure"))
            return surface_of_field(field)

        stages = KeptStages(keep_in, reconstruction_key(capture, plan, self.weights_sha256(), options, seed))
        surface = stages.kept("surface", Mesh, build)
        if not len(surface.faces):
            raise EmptyStructureError("The network found no surface; check the capture's points and scale.")
        return photographed(surface, photographs, plan, unseen_reach_m=UNSEEN_REACH_M)

    @property
    def device(self) -> torch.device:
        return self.conditioner.mean.device

    def weights_sha256(self) -> dict[str, str]:
        return {name: sha256_of(path) for name, path in self.files.items()}


def open_genrecon(options: OpenOptions) -> MiniGenRecon:
    """GenRecon with the weights that ship with the package.

    Raises:
        WeightsError: they are missing or damaged.
    """
    files = genrecon_files()
    conditioner = load_network(files, "conditioner", PictureConditioner, options.device)
    network = load_network(files, "room_network", RoomNetwork, options.device)
    return MiniGenRecon(network, conditioner, files)
