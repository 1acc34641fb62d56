"""Masks of a capture's pictures in every form, as the undistorted cameras see them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenewright.encoders.records import CUT_OUT
from scenewright.errors import InputError
from scenewright.geometry.camera.distortion import Distortion, undistorted_camera
from scenewright.runs import capture_masks
from scenewright.runs.capture_masks import labelled_views
from scenewright.systems.genrecon.captures import PosedPicture, read_capture
from scenewright.types import ObjectMasks
from tests.systems.genrecon.tiny_capture import FOCAL, TALL, WIDTH, write_capture


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[PosedPicture, ...]:
    return read_capture(write_capture(tmp_path_factory.mktemp("capture"), count=3)).pictures


def square(value: int = 255) -> np.ndarray:
    labels = np.zeros((TALL, WIDTH), np.uint8)
    labels[20:50, 30:60] = value
    return labels


def test_a_folder_of_masks_per_picture_and_grey_pictures(pictures: tuple[PosedPicture, ...], tmp_path: Path) -> None:
    own = tmp_path / "picture 00"
    own.mkdir()
    Image.fromarray(square()).save(own / "sofa.png")
    Image.fromarray(np.roll(square(), 30, 1)).save(own / "lamp.png")
    # Twice the size of the picture, with a level that is the room's.
    large = np.kron(square(7), np.ones((2, 2), np.uint8))
    large[:20] = 200
    Image.fromarray(large).save(tmp_path / "picture 02.png")
    first, last = labelled_views(pictures, tmp_path, room_labels=100)
    assert set((first.names or {}).values()) == {"sofa", "lamp"}
    assert last.names == {7: "object_7"}
    assert np.array_equal(last.labels.numpy() == 7, square() > 0)


def test_pictures_of_one_name_have_the_masks_of_their_own_folder(
    pictures: tuple[PosedPicture, ...], tmp_path: Path
) -> None:
    names = ["cam 0/a.png", "cam 1/a.png", "cam 1/b.png"]
    named = [replace(picture, name=name) for picture, name in zip(pictures, names, strict=True)]
    (tmp_path / "cam 1").mkdir()
    Image.fromarray(square(3)).save(tmp_path / "cam 1" / "a.png")
    Image.fromarray(square(5)).save(tmp_path / "b.png")  # the only picture of that name
    Image.fromarray(square(9)).save(tmp_path / "a.png")  # of which camera?
    views = labelled_views(named, tmp_path)
    assert [view.names for view in views] == [{3: "object_3"}, {5: "object_5"}]


def test_coco_of_all_pictures_is_matched_by_what_it_shows(pictures: tuple[PosedPicture, ...], tmp_path: Path) -> None:
    path = tmp_path / "masks.json"
    images = [{"id": n, "file_name": f"picture {n:02d}.png", "width": WIDTH, "height": TALL} for n in range(2)]
    box = [30, 20, 60, 20, 60, 50, 30, 50]
    annotations = [{"id": n, "image_id": n, "category_id": 1, "segmentation": [box]} for n in range(2)]
    path.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "chair"}]})
    )
    views = labelled_views(pictures, path)
    assert len(views) == 2
    assert all(view.names is None for view in views)
    assert (views[0].labels.numpy() > 0).sum() == pytest.approx((square() > 0).sum(), rel=0.1)
    path.write_text("{}")
    with pytest.raises(InputError, match="export the annotations again as COCO"):
        labelled_views(pictures, path)


def test_annotations_of_several_cameras_are_matched_by_their_folders(
    pictures: tuple[PosedPicture, ...], tmp_path: Path
) -> None:
    """Windows and old editors wrote the file."""
    path = tmp_path / "masks.json"
    named = [replace(picture, name=f"cam{n}/a.png") for n, picture in enumerate(pictures[:2])]
    images = [{"id": n, "file_name": f"D:\\set\\cam{n}\\a.png", "width": WIDTH, "height": TALL} for n in range(2)]
    boxes = [[30, 20, 60, 20, 60, 50, 30, 50], [10, 10, 20, 10, 20, 20, 10, 20]]
    annotations = [{"image_id": n, "segmentation": [box]} for n, box in enumerate(boxes)]
    path.write_text(json.dumps({"images": images, "annotations": annotations}), encoding="utf-8-sig")
    views = labelled_views(named, path)
    assert [int((view.labels > 0).sum()) for view in views] == [900, 100]
    # Without folders nobody knows which camera's they are.
    path.write_text(json.dumps({"images": [{"id": 0, "file_name": "a.png"}], "annotations": annotations}))
    with pytest.raises(InputError, match="name the masks as those are"):
        labelled_views(named, path)


def test_sam_looks_at_the_pictures_of_the_scene(
    pictures: tuple[PosedPicture, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Sam:
        def everything(self, image: Image.Image) -> ObjectMasks:
            if np.asarray(image)[0, 0, 1] > 70:  # the last picture's stripes
                raise InputError("nothing")
            return ObjectMasks(torch.from_numpy(square() > 0)[None])

    asked: list[bool] = []

    def open_sam(segmenter: str | None, *, device: torch.device | str, offline: bool) -> Sam:
        asked.append(offline)
        return Sam()

    monkeypatch.setattr(capture_masks, "open_sam", open_sam)
    (view,) = labelled_views(pictures, "auto", chosen=[0, 2])
    assert view.camera is pictures[0].camera
    assert view.names is None
    with pytest.raises(InputError, match="no object in any picture"):
        labelled_views(pictures, "auto", chosen=[2], offline=True)
    assert asked == [False, True]


def test_the_segmenter_of_marks_is_refused_where_there_are_none(pictures: tuple[PosedPicture, ...]) -> None:
    with pytest.raises(InputError, match="'cut-out' needs boxes or points"):
        labelled_views(pictures, "auto", chosen=[0], segmenter=CUT_OUT)


def test_labels_follow_the_lens(pictures: tuple[PosedPicture, ...]) -> None:
    lens = Distortion(k1=-0.05)
    picture = pictures[0]
    flat = undistorted_camera(picture.distorted_intrinsics_px, lens, WIDTH, TALL)
    camera = replace(
        picture.camera, intrinsics_px=torch.from_numpy(flat.intrinsics_px), width=flat.width, height=flat.height
    )
    bent = replace(picture, lens=lens, camera=camera)
    # A picture that is bright where the labels are shows the same after undistortion.
    labels = square(9).astype(np.int64)
    seen = bent.labels_as_seen(labels)
    assert seen.shape == (flat.height, flat.width)
    assert set(np.unique(seen)) == {0, 9}
    rows, columns = np.nonzero(seen)
    middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    k = flat.intrinsics_px
    ideal = (middle - k[:2, 2]) / k[[0, 1], [0, 1]]
    assert np.abs(ideal - (np.array([45.0, 35.0]) - [WIDTH / 2, TALL / 2]) / FOCAL).max() < 0.02
    with pytest.raises(InputError, match="folds a picture"):
        undistorted_camera(picture.distorted_intrinsics_px, Distortion(k1=-0.2), WIDTH, TALL)
    with pytest.raises(InputError, match="save them at the picture's size"):
        bent.labels_as_seen(np.zeros((50, 50), np.int64))


def test_masks_without_a_picture_are_told(pictures: tuple[PosedPicture, ...], tmp_path: Path) -> None:
    Image.fromarray(square()).save(tmp_path / "other.png")
    with pytest.raises(InputError, match="name the masks as those are"):
        labelled_views(pictures, tmp_path)
