"""Autoencoders measured on models: perfect and shifted grids by hand, and runs of tiny ones by the command."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.errors import InputError
from scenewright.evaluation.reconstruction import Reconstruction, load_autoencoders, shape_values, summary
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_to_mesh
from scenewright.geometry.ovoxel.voxelize_object import object_to_ovoxel
from scenewright.recipes.running import find_recipe, trainer_of
from scenewright.systems.single_object.preparation import AssetPreparation, prepare_assets
from scenewright.types import DualGrid, Mesh
from tests.recipes.tiny import MODELS

FURNITURE = Path(__file__).parents[1] / "data" / "furniture"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Autoencoders after two steps, as `shape` and `texture`."""
    folder = tmp_path_factory.mktemp("runs")
    prepare_assets(AssetPreparation(parametric=2, resolution=32), folder / "assets")
    changes = ["train.max_steps=2", "train.workers=0", "train.batch_size=1", "log.tensorboard=false"]
    for kind in ("shape", "texture"):
        recipe = find_recipe(f"mini_{kind}_vae", changes)
        recipe = replace(recipe, model=MODELS[f"{kind}_vae"])
        trainer_of(recipe, folder / "assets", folder / kind, device="cpu").fit()
    return folder


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pack")
    (folder / "glb").mkdir()
    names = [path.stem for path in sorted(FURNITURE.glob("*.glb"))][:2]
    for name in names:
        shutil.copy(FURNITURE / f"{name}.glb", folder / "glb")
    rows = [f"{name},{name},Office,test,1,1,1" for name in names]
    (folder / "index.csv").write_text("\n".join(["id,name,category,split,width_m,depth_m,height_m", *rows]))
    return folder


def box() -> Mesh:
    corners = torch.tensor([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], dtype=torch.float32)
    sides = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    faces = [face for a, b, c, d in sides for face in ([a, b, c], [a, c, d])]
    return Mesh(corners, torch.tensor(faces, dtype=torch.int32))


def test_a_grid_is_a_perfect_reconstruction_of_itself_and_half_of_it_is_half_right() -> None:
    grid = object_to_ovoxel([box()], 32).grid
    surface = dual_grid_to_mesh(grid)
    same = shape_values(surface, surface, grid, grid)
    assert same["voxel_iou"] == 1
    assert same["f"] == same["f_voxel"] == pytest.approx(1, abs=1e-6)
    assert same["cd"] < (2 / 32) ** 2

    low = grid.coords[:, 2] < 16
    lower = DualGrid(grid.coords[low], grid.dual_vertices[low], grid.intersected[low], 32)
    half = shape_values(surface, dual_grid_to_mesh(lower), grid, lower)
    assert half["voxel_iou"] == pytest.approx(float(low.float().mean()))
    # Of a cube's six faces the lower half keeps one and half of four; all of that is right.
    assert half["f_voxel"] == pytest.approx(2 * 0.5 / 1.5, abs=0.05)
    assert half["cd"] > 10 * same["cd"]


def test_the_summary_is_that_of_the_models_which_have_a_figure() -> None:
    found = [Reconstruction(str(v), {"f": v, "cd": c}, box()) for v, c in ((0.2, math.nan), (0.4, 1.0), (0.9, 3.0))]
    table = summary(found)
    assert table["f"]["mean"] == pytest.approx(0.5)
    assert table["f"]["median"] == pytest.approx(0.4)
    assert table["f"]["worst"] == pytest.approx(0.2)
    assert table["f"]["low"] < 0.5 < table["f"]["high"]
    assert table["cd"] == pytest.approx({"mean": 2, "low": 1, "high": 3, "median": 2, "worst": 3, "models": 2})


def test_the_command_measures_every_model_of_a_split(runs: Path, pack: Path, tmp_path: Path) -> None:
    arguments = ["reconstruct", str(pack), "--shape", str(runs / "shape"), "--texture", str(runs / "texture")]
    arguments += ["--resolution", "32", "--json", str(tmp_path / "r.json"), "--picture", str(tmp_path / "r.png")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    written = json.loads((tmp_path / "r.json").read_text())
    assert len(written["models"]) == 2
    assert {"voxel_iou", "f", "color_psnr", "metallic_error", "alpha_error"} <= set(written["summary"])
    assert all(0 <= model["voxel_iou"] <= 1 and model["color_psnr"] > 0 for model in written["models"])
    assert (tmp_path / "r.png").stat().st_size > 1000


def test_a_split_without_models_and_swapped_runs_are_named(runs: Path, pack: Path) -> None:
    result = CliRunner().invoke(app, ["reconstruct", str(pack), "--shape", str(runs / "shape"), "--split", "train"])
    assert isinstance(result.exception, InputError)
    assert "no model of the split 'train'; it has test" in str(result.exception)
    with pytest.raises(InputError, match="swap --shape and --texture"):
        load_autoencoders(runs / "texture", None)
    with pytest.raises(InputError, match="Give --shape or --texture"):
        load_autoencoders(None, None)
