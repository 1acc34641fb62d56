"""NumPy files of labels and masks."""

from pathlib import Path

import numpy as np
import pytest

from scenewright.encoders.masks import load_masks
from scenewright.errors import InputError

LABELS = np.zeros((40, 60), np.int64)
LABELS[5:20, 5:20], LABELS[10:30, 30:50], LABELS[-1] = 3, 70_000, -1
AREAS = [15 * 15, 20 * 20]


def test_a_map_of_labels(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", LABELS)
    masks = load_masks(tmp_path / "a.npy", (40, 60))
    assert masks.names == ("object_3", "object_70000")
    assert [mask.area for mask in masks.regions] == AREAS


@pytest.mark.parametrize("axis", [0, 2])
@pytest.mark.parametrize("kind", [bool, np.uint8, np.float32])
def test_a_stack_of_masks(tmp_path: Path, axis: int, kind: type) -> None:
    stack = np.stack([LABELS == 3, LABELS == 70_000], axis).astype(kind)
    np.save(tmp_path / "a.npy", stack * (0.9 if kind is np.float32 else 1))
    assert [mask.area for mask in load_masks(tmp_path / "a.npy").regions] == AREAS


def test_more_masks_than_the_picture_is_wide(tmp_path: Path) -> None:
    stack = np.zeros((70, 40, 60), bool)
    stack[0, 5:20, 5:20] = stack[1:, 10:30, 30:50] = True
    np.save(tmp_path / "a.npy", stack)
    assert [mask.area for mask in load_masks(tmp_path / "a.npy", (40, 60)).regions] == AREAS


@pytest.mark.parametrize("stray", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_no_label_is_background(tmp_path: Path, stray: float) -> None:
    labels = LABELS.astype(np.float64)
    labels[0, :5] = stray
    np.save(tmp_path / "a.npy", labels)
    masks = load_masks(tmp_path / "a.npy", (40, 60))
    assert masks.names == ("object_3", "object_70000")
    assert [mask.area for mask in masks.regions] == AREAS


def test_an_npz_of_named_masks(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", sofa=LABELS == 3, lamp=(LABELS == 70_000) * 255, note=np.arange(3))
    masks = load_masks(tmp_path / "a.npz", (40, 60))
    assert masks.names == ("sofa", "lamp")
    assert [mask.area for mask in masks.regions] == AREAS


@pytest.mark.parametrize("array", [np.arange(9), np.array(["a", "b"]), np.zeros((2, 3, 4, 5))])
def test_other_arrays_are_refused(tmp_path: Path, array: np.ndarray) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(InputError, match="Expected labels"):
        load_masks(tmp_path / "a.npy")


@pytest.mark.parametrize("size", [(40, 60), None])
def test_what_sam_writes_beside_its_masks_is_none(tmp_path: Path, size: tuple[int, int] | None) -> None:
    stack = np.stack([LABELS == 3, LABELS == 70_000])
    beside = {"boxes": np.ones((2, 4)), "scores": np.ones(2), "logits": np.ones((2, 256, 256)), "camera": np.eye(3)}
    np.savez(tmp_path / "a.npz", **beside, masks=stack)
    masks = load_masks(tmp_path / "a.npz", size)
    assert [mask.area for mask in masks.regions] == AREAS
    assert [name for name in beside if any(f"'{name}'" in note for note in masks.warnings)] == [
        "boxes",
        "logits",
        "camera",
    ]


@pytest.mark.parametrize("size", [(40, 60), None])
def test_arrays_of_another_shape_than_the_picture_are_left_out(tmp_path: Path, size: tuple[int, int] | None) -> None:
    np.savez(tmp_path / "a.npz", boxes=np.ones((2, 4)), sofa=LABELS == 3, lamp=LABELS == 70_000)
    assert load_masks(tmp_path / "a.npz", size).names == ("sofa", "lamp")
