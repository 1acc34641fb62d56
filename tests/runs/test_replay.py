"""Committed manifests of earlier versions replay: the same bytes on the same processor."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scenewright.errors import InputError
from scenewright.io.glb import load_glb
from scenewright.runs.manifest import Manifest, read_manifest
from scenewright.runs.replay import replay, with_stages_inside

RECORDED = Path(__file__).parents[1] / "data" / "replay"


def recorded(system: str) -> Manifest:
    """A committed manifest; its picture and masks lie beside it, wherever the repository is."""
    manifest = read_manifest(RECORDED / f"{system}.json")
    settings = replace(manifest.settings, image=str(RECORDED / "picture.png"), masks=(str(RECORDED / "masks.png"),))
    return replace(manifest, settings=settings)


def is_the_same_processor() -> bool:
    """Whether sums are rounded here as where the scenes were recorded."""
    recorded_on = json.loads((RECORDED / "machine.json").read_text())
    try:
        cpu = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    names = (("model name\t", "cpu"), ("cpu family\t", "family"), ("model\t\t", "model"))  # one name, several designs
    capability = torch.backends.cpu.get_cpu_capability()
    return capability == recorded_on["capability"] and all(
        f"{label}: {recorded_on[key]}\n" in cpu for label, key in names
    )


@pytest.mark.parametrize("system", ["cuboid", "iscene", "scenegen"])
def test_a_manifest_of_an_earlier_version_makes_its_scene_again(system: str) -> None:
    manifest = recorded(system)
    again = replay(manifest)
    if is_the_same_processor() and "torch" not in again.differences:
        assert again.is_identical, again.differences
        return
    # Elsewhere the last bits differ, and with them single voxels; objects still stand where they stood.
    first = {item.name: item.world_bounds() for item in load_glb(RECORDED / f"{system}.glb").objects}
    second = {item.name: item.world_bounds() for item in again.run.scene.objects}
    assert first.keys() == second.keys()
    for name, (low, high) in first.items():
        tolerance = 0.1 * float((high - low).max())
        torch.testing.assert_close(second[name], torch.stack([low, high]), atol=tolerance, rtol=0)


def test_a_manifest_writes_stages_only_inside_its_own_folder_or_where_the_user_says(tmp_path: Path) -> None:
    path, outside = tmp_path / "room.json", tmp_path.parent / "elsewhere"

    def named(stages: Path | None) -> Manifest:
        manifest = recorded("cuboid")
        manifest = replace(manifest, settings=replace(manifest.settings, stages=stages and str(stages)))
        return replace(manifest, parent=manifest)

    for stages in (None, tmp_path / "stages"):
        assert with_stages_inside(named(stages), path) == named(stages)
    (tmp_path / "link").symlink_to(tmp_path.parent)
    for stages in (outside, tmp_path / ".." / "elsewhere", tmp_path / "link" / "elsewhere"):
        with pytest.raises(InputError, match="outside its own folder, where nothing is written"):
            with_stages_inside(named(stages), path)
    assert with_stages_inside(named(outside), path, outside) == named(outside)
    assert with_stages_inside(named(None), path, outside) == named(None)
