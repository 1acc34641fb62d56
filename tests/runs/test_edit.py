"""Steps of an edit: their effect on the scene, locks, undo, replay, and the command line."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.errors import InputError
from scenewright.io.glb import glb_bytes, load_glb, parse_glb, save_glb
from scenewright.progress import Progress
from scenewright.runs.edit import ACTIONS, Action, Step, apply, open_edit, replay_edit, save_edit, undone
from scenewright.runs.generate import OpenSystem, Reroll, Run
from scenewright.runs.manifest import GenerateSettings, Manifest, sha256_of_bytes, write_manifest
from scenewright.types import Mesh, OrientedBox, Scene, SceneObject
from tests.evaluation.small_scenes import room
from tests.io.test_rigid_bodies import box


@pytest.fixture
def source(tmp_path: Path) -> Path:
    place = torch.eye(4)
    place[:3, 3] = torch.tensor([1.0, 2.0, 0.0])
    sofa = SceneObject(
        "sofa", (box(2.0, 1.0, 0.5),), world_from_object=place, box=OrientedBox((1.0, 2.0, 0.25), (2.0, 1.0, 0.5))
    )
    return save_glb(Scene((sofa, SceneObject("lamp", (box(0.2, 0.2, 1.5),)))), tmp_path / "scene.glb")


def bounds(scene: Scene, name: str) -> list[list[float]]:
    (item,) = [item for item in scene.objects if item.name == name]
    return item.world_bounds().tolist()


def near(*rows: list[float]) -> list:
    return [pytest.approx(row, abs=1e-5) for row in rows]


@pytest.mark.parametrize(
    ("step", "name", "low", "high"),
    [
        (Step("move", "sofa", (0.5, -1.0, 0.25)), "sofa", [0.5, 0.5, 0.25], [2.5, 1.5, 0.75]),
        (Step("rotate", "sofa", (90.0,)), "sofa", [0.5, 1.0, 0.0], [1.5, 3.0, 0.5]),
        (Step("scale", "sofa", (2.0,)), "sofa", [-1.0, 1.0, 0.0], [3.0, 3.0, 1.0]),
        (Step("duplicate", "sofa"), "sofa_2", [2.1, 1.5, 0.0], [4.1, 2.5, 0.5]),
    ],
)
def test_a_step_puts_the_object_where_it_says(
    source: Path, step: Step, name: str, low: list[float], high: list[float]
) -> None:
    edited = apply(open_edit(source), [step])
    assert bounds(edited.scene, name) == near(low, high)
    (item,) = [item for item in edited.scene.objects if item.name == name]
    half = torch.tensor(item.box.size) / 2
    if step.action == "rotate":
        half = half[[1, 0, 2]]
    centre = torch.tensor(item.box.centre)
    assert [(centre - half).tolist(), (centre + half).tolist()] == near(low, high)
    assert bounds(edited.scene, "lamp") == bounds(open_edit(source).scene, "lamp")


def test_a_swapped_model_stands_in_the_place_of_the_old_one(source: Path, tmp_path: Path) -> None:
    model = save_glb(Scene((SceneObject("bench", (box(4.0, 1.0, 0.5),)),)), tmp_path / "bench.glb")
    turned = apply(open_edit(source), [Step("rotate", "sofa", (90.0,)), Step("swap", "sofa", file=str(model))])
    # Half as large, as the bench is twice as long; it stands on the floor in the middle of where the sofa was.
    assert bounds(turned.scene, "sofa") == near([0.75, 1.0, 0.0], [1.25, 3.0, 0.25])
    model.write_bytes(save_glb(Scene((SceneObject("bench", (box(1.0, 1.0, 0.5),)),)), tmp_path / "b.glb").read_bytes())
    save_edit(turned, tmp_path / "edited.glb")
    with pytest.raises(InputError, match="is not the model that 'sofa' was swapped with any more"):
        replay_edit(tmp_path / "edited.json")


def test_steps_are_undone_and_replayed_to_the_same_bytes(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "edited.glb"
    save_edit(apply(open_edit(source), [Step("move", "sofa", (1.0, 0.0, 0.0)), Step("delete", "lamp")]), out)
    opened = open_edit(out)
    assert [step.action for step in opened.steps] == ["move", "delete"]
    assert [item.name for item in opened.scene.objects] == ["sofa"]
    assert replay_edit(out.with_suffix(".json"))[1]
    back = undone(opened)
    assert [item.name for item in back.scene.objects] == ["sofa", "lamp"]
    assert bounds(back.scene, "sofa") == near([1.0, 1.5, 0.0], [3.0, 2.5, 0.5])
    save_edit(apply(back, [Step("scale", "lamp", (0.5,))]), out)
    assert [step.action for step in open_edit(out).steps] == ["move", "scale"]
    assert load_glb(source).objects[0].name == "sofa"  # the base is as it was


def test_locked_objects_do_not_change(source: Path) -> None:
    locked = apply(open_edit(source), [Step("lock", "sofa")])
    with pytest.raises(InputError, match="'sofa' is locked; --unlock it before --move"):
        apply(locked, [Step("move", "sofa", (1.0, 0.0, 0.0))])
    assert apply(locked, [Step("unlock", "sofa"), Step("delete", "sofa")]).locked == frozenset()


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([Step("delete", "piano")], "has no object 'piano'; it has sofa, lamp"),
        ([Step("regenerate", "sofa")], "'sofa' was not generated"),
        ([Step("swap", "sofa", file="/nowhere/a.glb")], "a.glb"),
    ],
)
def test_steps_that_cannot_be_done_are_one_sentence(source: Path, steps: list[Step], message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply(open_edit(source), steps)
    point = Mesh(torch.zeros(3, 3), torch.tensor([[0, 1, 2]]))
    twice = Scene((SceneObject("a", (point,)), SceneObject("a", (point,))))
    path = save_glb(twice, source.with_name("twice.glb"))
    with pytest.raises(InputError, match="has 2 objects 'a'; number them with `scenewright convert"):
        apply(open_edit(path), [Step("delete", "a")])
    with pytest.raises(InputError, match="is a single point, so it cannot stand for 'sofa'"):
        apply(open_edit(source), [Step("swap", "sofa", file=str(path))])
    with pytest.raises(InputError, match="takes 3 numbers, got 1"):
        Step("move", "sofa", (1.0,))
    with pytest.raises(InputError, match="a factor above 0"):
        Step("scale", "sofa", (0.0,))


@pytest.mark.parametrize("action", ["move", "scale", "rotate"])
def test_numbers_that_no_manifest_may_hold_are_refused(action: Action) -> None:
    with pytest.raises(InputError, match=rf"--{action} 'sofa' takes numbers of at most 1e\+12"):
        Step(action, "sofa", (1e300,) * ACTIONS[action])


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([Step("scale", "sofa", (1e12,))] * 3, "too large, or puts it too far away, to be read again"),
        ([Step("move", "sofa", (1e12, 0, 0))] * 2, "too large, or puts it too far away, to be read again"),
        ([Step("scale", "sofa", (1e-300,))], "too small to be read again"),
    ],
)
def test_steps_that_lead_out_of_what_files_hold_are_refused(source: Path, steps: list[Step], message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply(open_edit(source), steps)


def test_a_base_that_changed_is_refused_and_never_written_over(source: Path, tmp_path: Path) -> None:
    edited = apply(open_edit(source), [Step("delete", "lamp")])
    for same in (source, tmp_path / "." / "folder" / ".." / source.name):
        with pytest.raises(InputError, match="is the scene that the steps begin with"):
            save_edit(edited, same)
    model = save_glb(Scene((SceneObject("bench", (box(4.0, 1.0, 0.5),)),)), tmp_path / "bench.glb")
    with pytest.raises(InputError, match=r"bench\.glb' is the model that 'sofa' is swapped with"):
        save_edit(apply(edited, [Step("swap", "sofa", file=str(model))]), model)
    save_edit(edited, tmp_path / "edited.glb")
    save_glb(Scene((SceneObject("other", (box(1.0, 1.0, 1.0),)),)), source)
    with pytest.raises(InputError, match="is not the scene that the steps began with any more"):
        undone(open_edit(tmp_path / "edited.glb"))
    source.unlink()
    with pytest.raises(InputError, match="that the steps begin with is gone"):
        replay_edit(tmp_path / "edited.json")


def test_the_command_does_steps_in_order_and_replay_compares(source: Path, tmp_path: Path) -> None:
    def run(*words: object) -> str:
        result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    out = tmp_path / "edited.glb"
    said = run("edit", source, "-o", out, "--move", "sofa", -1, "-2e0", 0, "--lock", "sofa", "--duplicate", "lamp")
    assert "1. move sofa -1 -2 0" in said
    assert [item.name for item in load_glb(out).objects] == ["sofa", "lamp", "lamp_2"]
    assert bounds(load_glb(out), "sofa") == near([-1.0, -0.5, 0.0], [1.0, 0.5, 0.5])
    assert "3 steps: identical" in run("replay", out.with_suffix(".json"))
    run("edit", out, "--undo", "2", "-o", out)
    assert [step.action for step in open_edit(out).steps] == ["move"]
    with pytest.raises(InputError, match=r"Expected a step \(--move"):
        run("edit", source, "-o", out, "--paint", "sofa")
    with pytest.raises(InputError, match="--move lacks its NAME and numbers"):
        run("edit", source, "-o", out, "--move", "sofa", "1")
    with pytest.raises(InputError, match="There is nothing to do"):
        run("edit", source, "-o", out)


def test_a_generated_object_is_made_anew_where_it_was_moved_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts follow each other as re-rolls do; each is as large as its number, where the steps before it went."""
    first = save_glb(Scene((SceneObject("crate", (box(3.0, 3.0, 3.0),)),)), tmp_path / "scene.glb")
    settings = GenerateSettings("picture.png", ("masks.png",), "cuboid")
    sha = sha256_of_bytes(first.read_bytes())
    manifest = Manifest(settings, "", "", ("crate",), {}, {}, (), None, str(first), sha, {}, {})
    write_manifest(manifest, first.with_suffix(".json"))

    def fresh_run(
        settings: GenerateSettings, *, reroll: Reroll, open_system: OpenSystem | None, progress: Progress
    ) -> Run:
        attempt = reroll.attempts[reroll.names[0]]
        old = parse_glb(reroll.glb)
        anew = SceneObject(reroll.names[0], (box(float(attempt), 1.0, 1.0),))
        scene = replace(old, objects=(anew, *old.objects[1:]))
        manifest = replace(reroll.parent, attempts=reroll.attempts)
        return Run(scene, glb_bytes(scene), manifest, {})

    monkeypatch.setattr("scenewright.runs.edit.run", fresh_run)
    before = load_glb(first).objects[0]
    again, shift = Step("regenerate", before.name), Step("move", before.name, (5.0, 0.0, 0.0))
    once = apply(open_edit(first), [shift, again])
    assert bounds(once.scene, before.name) == near([4.5, -0.5, 0.0], [5.5, 0.5, 1.0])
    twice = apply(once, [again])
    assert bounds(twice.scene, before.name) == near([4.0, -0.5, 0.0], [6.0, 0.5, 1.0])


def test_a_scene_whose_name_is_not_utf_8_is_edited_and_replayed(tmp_path: Path) -> None:
    base = tmp_path / b"K\xfcche.glb".decode("utf-8", "surrogateescape")
    save_glb(room(), base)
    save_edit(apply(open_edit(base), [Step("move", "obj_01", (0.5, 0.0, 0.0))]), tmp_path / "edited.glb")
    assert open_edit(tmp_path / "edited.glb").base == str(base)
    assert replay_edit(tmp_path / "edited.json")[1]
