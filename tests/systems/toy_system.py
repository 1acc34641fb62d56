"""A whole scene system in one module: every mask becomes a cube of its picture's height; its task fits a line."""

from pathlib import Path

import torch
from torch import Tensor, nn

from scenewright.progress import SILENT, Progress
from scenewright.systems.baselines.cuboid.system import box_mesh
from scenewright.systems.loading import OpenOptions
from scenewright.systems.options import DEFAULT, GenerateOptions
from scenewright.systems.spec import SystemSpec
from scenewright.systems.system import Views, masked_views
from scenewright.systems.task_kind import Sets, TaskKind
from scenewright.training.loading import TrainingSet
from scenewright.training.task import Task
from scenewright.types import Scene, SceneObject

SPEC = SystemSpec(
    name="toy",
    summary="cubes in a row",
    reads="masks",
    open="tests.systems.toy_system:open_toy",
    notice="Toys are made of nothing.",
    networks=("dinov2-vitl14-reg",),
    tasks={"toy_line": "tests.systems.toy_system:line_task"},
)


class Toy:
    name = "toy"

    def generate(
        self, views: Views, *, seed: int = 0, options: GenerateOptions = DEFAULT, progress: Progress = SILENT
    ) -> Scene:
        (view,) = masked_views(views, self.name)
        assert view.objects is not None
        objects = []
        for index, (name, mask) in enumerate(zip(view.objects.names, view.objects.regions, strict=True)):
            world_from_object = torch.eye(4)
            world_from_object[:3, 3] = torch.tensor([2.0 * index, 0.0, 0.5])
            cube = box_mesh((1.0, 1.0, 1.0), (0.5, 0.5, 0.5))
            objects.append(SceneObject(name, (cube,), world_from_object=world_from_object, mask=mask))
        return Scene(tuple(objects), provenance={"system": self.name, "seed": seed})

    def weights_sha256(self) -> dict[str, str]:
        return {}


def open_toy(options: OpenOptions) -> Toy:
    return Toy()


class LineTask(Task[dict[str, Tensor]]):
    def __init__(self) -> None:
        self.network = nn.Linear(1, 1)

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": (self.network(batch["x"]) - 2 * batch["x"]).square().mean()}


class Numbers(TrainingSet):
    def __len__(self) -> int:
        return 4

    def sample(self, index: int, generator: torch.Generator) -> dict[str, Tensor]:
        return {"x": torch.tensor([float(index)])}


def line_task() -> TaskKind:
    def open_data(folder: Path) -> Sets:
        return Numbers(), None

    return TaskKind(LineTask, open_data)
