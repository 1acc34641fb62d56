"""A capture folder to a scene file, with tiny networks; interrupted, resumed, with masks."""

from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image, ImageFilter
from typer.testing import CliRunner

from scenewright.cli.app import app
from scenewright.errors import InputError, MissingExtraError
from scenewright.io.glb import load_glb
from scenewright.runs.captures import CaptureSettings, open_capture, placed, placed_folder, run_capture, stage_folder
from scenewright.systems.genrecon.captures import read_capture
from scenewright.systems.genrecon.system import GenReconSystem
from tests.systems.genrecon.box_walk import walk_through_box
from tests.systems.genrecon.test_pipeline import OPTIONS
from tests.systems.genrecon.tiny import TinyNetworks
from tests.systems.genrecon.tiny_capture import TALL, WIDTH, write_capture


@pytest.fixture(scope="module")
def capture_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_capture(tmp_path_factory.mktemp("capture"), count=4)
    (folder / "masks").mkdir()
    labels = np.zeros((TALL, WIDTH), np.uint8)
    labels[20:60, 30:60], labels[:10] = 3, 120
    for index in range(2):
        Image.fromarray(labels).save(folder / "masks" / f"picture {index:02d}.png")
    return folder


def test_interrupted_and_resumed_files_are_alike(capture_folder: Path, tmp_path: Path) -> None:
    settings = CaptureSettings(
        capture_folder, masks=str(capture_folder / "masks"), room_labels=100, metres_per_unit=2.0, seed=5
    )
    whole, again = tmp_path / "whole.glb", tmp_path / "again.glb"
    system = GenReconSystem(TinyNetworks(), OPTIONS)
    scene, paths = run_capture(settings, whole, system=system)
    assert paths == [whole, tmp_path / "whole_report.png", tmp_path / "whole.json"]
    with Image.open(paths[1]) as picture:
        assert min(picture.size) > 500
    assert "object_3" in [item.name for item in scene.objects]

    class Interrupted(TinyNetworks):
        def texture_decoder(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_capture(settings, again, system=GenReconSystem(Interrupted(), OPTIONS))
    assert (stage_folder(again) / "shapes.safetensors").is_file()
    assert not again.exists()
    networks = TinyNetworks()
    run_capture(settings, again, system=GenReconSystem(networks, OPTIONS), resume=True)
    assert "structure_flow" not in networks.calls
    assert again.read_bytes() == whole.read_bytes()
    assert not stage_folder(again).exists()
    assert {item.name for item in load_glb(whole).objects} == {item.name for item in scene.objects}


def test_a_folder_that_no_capture_made_is_not_deleted(capture_folder: Path, tmp_path: Path) -> None:
    system = GenReconSystem(TinyNetworks(), OPTIONS)
    settings, out = CaptureSettings(capture_folder), tmp_path / "room.glb"
    stage_folder(out).mkdir()
    (stage_folder(out) / "boxes.json").write_text("mine")
    for resume in (False, True):
        with pytest.raises(InputError, match=r"room_stages' holds something else than results of a capture's run"):
            run_capture(settings, out, system=system, resume=resume)
    result = CliRunner().invoke(app, ["generate", str(capture_folder), "-o", str(out), "--weights", "mini"])
    assert isinstance(result.exception, InputError)
    assert "deleted" not in result.output
    assert (stage_folder(out) / "boxes.json").read_text() == "mine"
    link = tmp_path / "link_stages"
    link.symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="link_stages' holds something else"):
        run_capture(settings, tmp_path / "link.glb", system=system)


def test_masks_that_fit_no_picture_are_told(capture_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name the masks as those are"):
        open_capture(CaptureSettings(capture_folder, masks=str(tmp_path)), OPTIONS.plan)
    with pytest.raises(InputError, match="are a folder with an entry"):
        open_capture(CaptureSettings(capture_folder, masks=str(tmp_path / "nothing")), OPTIONS.plan)


def test_the_command_reports_before_it_asks_for_weights(capture_folder: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["generate", str(capture_folder), "-o", str(tmp_path / "scene.glb"), "--weights", str(tmp_path / "none")]
    )
    assert result.exit_code != 0
    assert "4 pictures, 4000 points" in result.output


def test_settings_that_nothing_samples_by_are_refused(capture_folder: Path, tmp_path: Path) -> None:
    for name, value in (("quality", "draft"), ("steps", 3)):
        settings = CaptureSettings(capture_folder, weights="mini", **{name: value})
        with pytest.raises(InputError, match=f"genrecon with the mini weights has no use for --{name}"):
            run_capture(settings, tmp_path / "scene.glb")


def test_the_weights_that_ship_need_fewer_points(tmp_path: Path) -> None:
    folder = write_capture(tmp_path / "capture", count=2)
    points = folder / "sparse/0/points3D.txt"
    points.write_text("".join(points.read_text().splitlines(keepends=True)[:600]))
    assert len(open_capture(CaptureSettings(folder, weights="mini")).plan.chunks.centres) == 2
    with pytest.raises(InputError, match="chunks holds 500 points"):
        open_capture(CaptureSettings(folder, weights=str(tmp_path)))


def test_a_video_becomes_a_capture_of_its_sharpest_frames(tmp_path: Path) -> None:
    pictures = [picture.crop((0, 0, 180, 134)) for picture in walk_through_box(5)[0]]  # videos have even sides
    video = tmp_path / "my walk.mp4"
    writer = imageio_ffmpeg.write_frames(str(video), pictures[0].size, fps=8, quality=10, macro_block_size=1)
    writer.send(None)
    for picture in pictures:  # half a second each, sharp once
        for number in range(4):
            frame = picture if number == 2 else picture.filter(ImageFilter.GaussianBlur(4))
            writer.send(np.asarray(frame.convert("RGB")).copy())
    writer.close()
    settings, out = CaptureSettings(video), tmp_path / "scene.glb"
    found = placed(settings, out)
    assert found.folder == placed_folder(out)
    capture = read_capture(found.folder)
    assert [picture.name for picture in capture.pictures] == [f"frame_{index:05d}.jpg" for index in range(5)]
    for given, frame in zip(pictures, capture.pictures, strict=True):
        with Image.open(frame.path) as kept:
            assert np.abs(np.asarray(given, float) - np.asarray(kept, float)).mean() < 12
    video.write_bytes(video.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"my walk\.mp4' cannot be read"):
        placed(settings, out)


def test_plain_photographs_need_the_word_and_their_own_folder(capture_folder: Path, tmp_path: Path) -> None:
    photographs = tmp_path / "photographs"
    photographs.mkdir()
    Image.new("RGB", (60, 40)).save(photographs / "one.png")
    runner, out = CliRunner(), str(tmp_path / "scene.glb")
    too_few = runner.invoke(app, ["generate", str(photographs), "--capture", "-o", out])
    assert "gives 1 pictures" in str(too_few.exception)
    two = runner.invoke(app, ["generate", str(photographs), str(photographs), "--capture", "-o", out])
    assert "one folder of photographs or one video" in str(two.exception)
    video = runner.invoke(app, ["generate", str(tmp_path / "walk.mp4"), "-o", out])
    assert isinstance(video.exception, InputError | MissingExtraError)
    several = ["generate", str(capture_folder), "-m", "auto", "-m", "auto", "-o", out]
    assert "one folder, one COCO" in str(runner.invoke(app, several).exception)
