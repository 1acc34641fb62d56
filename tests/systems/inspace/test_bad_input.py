"""Boxes and checkpoints that users may bring: one sentence each, or a room all the same."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from scenewright.errors import InputError, WeightsError
from scenewright.systems.inspace import stage_pictures
from scenewright.systems.inspace.weights import FOLDERS
from scenewright.types import View
from tests.systems.inspace.test_system import folder, system, view  # noqa: F401
from tests.tiny_inspace import SIZES, write_tiny_inspace


@pytest.fixture(scope="module")
def stages(folder: Path, view: View, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """Stages of a run without boxes: quick to continue."""
    kept = tmp_path_factory.mktemp("stages")
    with pytest.MonkeyPatch.context() as patch:  # drawing takes longer than the meshes
        patch.setattr(stage_pictures, "mesh_picture", lambda mesh: Image.new("RGB", (8, 8)))
        system(folder, kept).generate(view, seed=1)
    return kept


def with_boxes(stages: Path, boxes: list[dict]) -> None:
    path = stages / "boxes.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"boxes": boxes}))


def box(x: float = 0.0, y: float = 0.0, z: float = 0.0, size: float = 0.05) -> dict:
    return {"center": [x, y, z], "size": [size] * 3, "yaw": 0.0}


@pytest.mark.parametrize("count", [0, 50])
def test_no_box_and_fifty(folder: Path, view: View, stages: Path, count: int) -> None:  # noqa: F811
    with_boxes(stages, [box(-0.45 + 0.1 * (k % 10), -0.4 + 0.2 * (k // 10)) for k in range(count)])
    scene = system(folder, stages).generate(view, seed=1)
    assert {"floor", "ceiling"} <= {item.name for item in scene.objects}
    assert sum(item.role == "furniture" for item in scene.objects) <= count
    assert scene.provenance["boxes"] == count
    assert (stages / "boxes.png").stat().st_mtime_ns >= (stages / "boxes.json").stat().st_mtime_ns


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([box(), box(size=-0.1)], "Box 1 of .* has a size that is not positive"),
        ([box(x=0.9)], "Box 0 of .* lies outside the room"),
        ([box(x=float("nan"))], "is not a file of boxes"),
        ([{"center": [0, 0], "size": [1, 1, 1]}], "each with 'center' and 'size'"),
        (["chair"], "each with 'center' and 'size'"),
    ],
)
def test_boxes_that_cannot_be(folder: Path, view: View, stages: Path, boxes: list, message: str) -> None:  # noqa: F811
    with_boxes(stages, boxes)
    before = {path.name for path in stages.iterdir()}
    with pytest.raises(InputError, match=message):
        system(folder, stages).generate(view, seed=1)
    assert {path.name for path in stages.iterdir()} == before


def test_checkpoints_of_other_steps_and_architectures(folder: Path, view: View, tmp_path: Path) -> None:  # noqa: F811
    weights = shutil.copytree(folder, tmp_path / "weights")
    write_tiny_inspace(weights / "inspace", seed=1, step=9000)  # a later step beside the first
    assert system(weights).weights.file("box_network").name.endswith("step0009000.pt")
    checkpoints = weights / "inspace" / "ckpts" / FOLDERS["structure_flow"] / "ckpts"
    state = torch.load(checkpoints / "denoiser_ema0.9999_step0009000.pt", weights_only=True)
    width = SIZES.structure_flow.model_channels
    for name, value in state.items():
        if value.ndim and value.shape[0] == width:
            state[name] = torch.cat([value, value])
    torch.save(state, checkpoints / "denoiser_ema0.9999_step0009000.pt")
    kept = tmp_path / "stages"
    with pytest.raises(WeightsError, match=r"step0009000\.pt.*shape"):
        system(weights, kept).generate(view, seed=1)
    assert not (kept / "coarse.safetensors").exists()
    (checkpoints / "denoiser_ema0.9999_step0009000.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(WeightsError, match=r"step0009000\.pt"):
        system(weights, kept).generate(view, seed=1)
    for path in checkpoints.iterdir():
        path.unlink()
    with pytest.raises(WeightsError, match="holds steps: none"):
        system(weights, kept).generate(view, seed=1)
