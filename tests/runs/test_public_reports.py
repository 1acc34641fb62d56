"""Files after public bug reports, where they are at hand: photographs, masks and cameras behave as a user expects."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.encoders.masks import find_masks, load_masks
from scenewright.errors import InputError
from scenewright.io.camera_file import load_camera
from scenewright.io.images import load_photograph
from scenewright.io.scene_file import load_scene
from scenewright.rendering.still import render
from scenewright.runs.folder import pair_photographs
from scenewright.runs.manifest import read_manifest
from scenewright.types import ObjectMasks

REPORTS = Path(__file__).parents[3] / "shared" / "faults" / "reports"
pytestmark = pytest.mark.skipif(not REPORTS.is_dir(), reason="the files of the reports are not here")


def masks_of(case: str, name: str, photo: str = "photo.png") -> ObjectMasks:
    folder = REPORTS / case
    image = load_photograph(folder / photo)
    return find_masks(image, folder / name, image_name=photo)


def test_a_phones_photograph_is_read_as_it_is() -> None:
    image = load_photograph(REPORTS / "01_big_photo" / "photo_12mp.jpg")
    assert image.size == (4032, 3024)
    masks = load_masks(REPORTS / "01_big_photo" / "masks.png", (3024, 4032))
    assert sum(mask.bits.nbytes for mask in masks.regions) < 3024 * 4032 / 8


@pytest.mark.parametrize("name", ["black_silhouette", "dark_shaded", "shaded"])
def test_a_cut_out_alone_is_its_opaque_part(name: str) -> None:
    path = REPORTS / "04_single_cutout" / f"{name}.png"
    masks = load_masks(path, (240, 320))
    opaque = np.asarray(Image.open(path).getchannel("A")) > 127
    assert masks.names == (name,)
    assert (masks.masks[0].numpy() == opaque).all()


def test_a_lens_alone_serves_and_impossible_cameras_are_refused() -> None:
    folder = REPORTS / "05_camera"
    image = load_photograph(folder / "photo.png")
    assert float(load_camera(folder / "lens_only.json", image).intrinsics_px[0, 0]) == 600
    for name in ("nan", "neg", "zero"):
        with pytest.raises(InputError, match=name):
            load_camera(folder / f"{name}.json", image)


def test_a_rug_is_drawn_whole() -> None:
    scene = load_scene(REPORTS / "06_ground_plane" / "rug.glb")
    pictures = [np.asarray(render(scene, size=128, ground=ground)).astype(int) for ground in (True, False)]
    differs = np.abs(pictures[0] - pictures[1]).max(-1) > 60
    assert differs.mean() < 0.02


def test_annotations_as_other_tools_write_them() -> None:
    for name in ("bom.json", "strid.json", "winpath.json"):
        masks = masks_of("14_annotations", name)
        assert masks.names == ("box",)
        assert masks.regions[0].area > 1000
    assert masks_of("14_annotations", "polymixed.json").names == ("box", "Kugel ø")
    two_points = masks_of("14_annotations", "poly2pt.json")
    assert two_points.names == ("box",)
    assert "annotation 2 (Kugel ø)" in two_points.warnings[0]


def test_capitals_and_scans_in_a_folder(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(REPORTS / "17_folder", tmp_path / "photos"))
    found = {item.path.name: item.masks for item in pair_photographs(folder)}
    assert found["UPPER.JPG"] == str(folder / "UPPER_masks.PNG")
    assert found["scan.tiff"] is None
    assert load_photograph(folder / "scan.tiff").size == (64, 48)


def test_an_inverted_mask_is_told() -> None:
    assert "is it the background, or inverted?" in masks_of("19_inverted_mask", "inverted_bw.png").warnings[0]


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    photo = tmp_path / b"K\xfcche.png".decode("utf-8", "surrogateescape")
    (tmp_path / "masks").mkdir()
    shutil.copy(REPORTS / "05_camera" / "photo.png", photo)
    for name, case in (("St\udcfchle", "05_camera/masks"), ("b", "19_inverted_mask/inverted_bw")):
        shutil.copy(REPORTS / f"{case}.png", tmp_path / "masks" / f"{name}.png")
    out = tmp_path / "a.glb"
    words = ["generate", str(photo), "-m", str(tmp_path / "masks"), "--system", "cuboid", "-o", str(out)]
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "Stühle" in json.loads(out.with_suffix(".json").read_text())["names"]
    manifest = out.with_suffix(".json")
    assert read_manifest(manifest).settings.image == str(photo)
    assert CliRunner().invoke(app, ["replay", str(manifest), "-o", str(tmp_path / "b.glb")]).exit_code == 0
    assert (tmp_path / "b.glb").read_bytes() == out.read_bytes()
    assert {item.name for item in load_scene(out).objects} >= {"Stühle"}


def test_a_lens_alone_serves_the_cuboid(tmp_path: Path) -> None:
    folder, out = REPORTS / "05_camera", tmp_path / "a.glb"
    words = ["generate", str(folder / "photo.png"), "-m", str(folder / "masks.png"), "--system", "cuboid"]
    result = CliRunner().invoke(app, [*words, "--camera", str(folder / "lens_only.json"), "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert "place of the camera is assumed" in result.output
