"""The split is law: held-out models cannot become training assets, whatever they are called."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from scenewright.data.asset import Asset, canonical_parts, merged_geometry
from scenewright.data.fingerprint import FINGERPRINT_SIDE, fingerprint
from scenewright.data.held_out import HeldOutError, TrainingAsset, held_out_registry, simple_name
from scenewright.data.library import ModelPack, TrainingLibrary
from scenewright.data.parametric import make_object
from scenewright.data.parametric.solids import box
from scenewright.data.stretching import Stretching
from scenewright.errors import InputError
from scenewright.types import Mesh

HELD_OUT = "sc_black-table"


def box_asset(model_id: str, size: tuple[float, float, float]) -> Asset:
    shell = box(size)
    mesh = Mesh(torch.from_numpy(shell.vertices).float(), torch.from_numpy(shell.faces))
    return Asset(model_id, model_id, "", canonical_parts((mesh,)))


def copy_of(row: int, scale: float, turns: int) -> Asset:
    """A model made of the cells of a held-out fingerprint: the same shape from another tool, unit and orientation."""
    registry = held_out_registry()
    side = FINGERPRINT_SIDE
    cells = np.argwhere(registry.shapes[row].reshape(side, side, side))
    vertices, faces = [], []
    for number, cell in enumerate(cells):
        shell = box((0.999, 0.999, 0.999), cell + np.array([0.5, 0.5, 0.0005]))
        vertices.append(shell.vertices)
        faces.append(shell.faces + number * len(shell.vertices))
    size = registry.sizes_m[row]
    half = 0.5 * size / size.max()
    # Cells at the border reach beyond the model; its box has the model's own proportions.
    points = np.clip(np.concatenate(vertices) / side - 0.5, -half, half) * size.max() * scale
    for _ in range(turns):
        points = np.stack([-points[:, 1], points[:, 0], points[:, 2]], 1)
    mesh = Mesh(torch.from_numpy(points).float(), torch.from_numpy(np.concatenate(faces)))
    return Asset("innocent", "innocent", "", canonical_parts((mesh,)))


def solid_rows() -> list[int]:
    """Held-out models that fill their grid on all axes, so that cells draw them well."""
    sizes = held_out_registry().sizes_m
    return [i for i, size in enumerate(sizes) if size.min() > 0.45 * size.max()][:6]


def test_a_held_out_id_is_refused() -> None:
    assert HELD_OUT in held_out_registry().ids
    with pytest.raises(HeldOutError, match="must never be trained on"):
        TrainingAsset.admit(box_asset(HELD_OUT, (1, 2, 3)))


def test_name_and_size_of_another_catalogue_are_recognised() -> None:
    registry = held_out_registry()
    row = registry.ids.index(HELD_OUT)
    width, depth, height = registry.sizes_m[row].tolist()
    with pytest.raises(HeldOutError, match="name and the size"):
        TrainingAsset.admit(box_asset("Scopia#Black-Table", (width, depth, height)))
    assert simple_name("Scopia#Black-Table") == simple_name(HELD_OUT)


@pytest.mark.parametrize(("scale", "turns"), [(1.0, 0), (0.01, 1), (39.37, 2), (1.0, 3)])
def test_rescaled_and_turned_copies_are_recognised(scale: float, turns: int) -> None:
    for row in solid_rows():
        with pytest.raises(HeldOutError, match="shape of held-out model"):
            TrainingAsset.admit(copy_of(row, scale, turns))


def as_a_whole(width: float, depth: float, height: float) -> Stretching:
    ends = np.tile([0.0, 1.0], (3, 1))
    return Stretching(np.array([width, depth, height]), ends, ends)


def test_a_stretched_asset_has_the_new_size_and_passes_the_check_again() -> None:
    asset = TrainingAsset.admit(box_asset("my-own-box", (1, 0.2, 3)))
    stretched = asset.stretched(as_a_whole(1.5, 2.0, 0.5)).asset
    assert stretched.size_m == pytest.approx((1.5, 0.4, 1.5))
    assert asset.asset.size_m == pytest.approx((1, 0.2, 3))
    registry = held_out_registry()
    width, depth, height = registry.sizes_m[registry.ids.index(HELD_OUT)].tolist()
    namesake = TrainingAsset.admit(box_asset("Scopia#Black-Table", (2 * width, depth, height)))
    with pytest.raises(HeldOutError, match="name and the size"):
        namesake.stretched(as_a_whole(0.5, 1.0, 1.0))


def test_there_is_no_other_way_to_a_training_asset() -> None:
    with pytest.raises(TypeError, match=r"TrainingAsset\.admit"):
        TrainingAsset(box_asset("x", (1, 1, 1)), object())
    smuggled = pickle.dumps(TrainingAsset.admit(box_asset("my-own-box", (1, 0.2, 3))))
    assert pickle.loads(smuggled).asset.id == "my-own-box"  # noqa: S301
    doctored = smuggled.replace(b"my-own-box", b"sc_pouf_xx")
    assert pickle.loads(doctored).asset.id == "sc_pouf_xx"  # noqa: S301
    # A pickle that names a held-out model goes through the check again.
    renamed = pickle.dumps(TrainingAsset.admit(box_asset("a" * len(HELD_OUT), (1, 0.2, 3))))
    with pytest.raises(HeldOutError):
        pickle.loads(renamed.replace(b"a" * len(HELD_OUT), HELD_OUT.encode()))  # noqa: S301


def write_index(folder: Path, rows: list[tuple[str, str]]) -> None:
    lines = ["id,name,category,split,width_m,depth_m,height_m"]
    lines += [f"{model_id},{model_id},Office,{split},1,1,1" for model_id, split in rows]
    (folder / "index.csv").write_text("\n".join(lines))


def test_the_library_lists_the_training_split_only(tmp_path: Path) -> None:
    write_index(tmp_path, [("mine", "train"), ("theirs", "test"), ("others", "val")])
    library = TrainingLibrary([tmp_path])
    assert set(library.rows) == {"mine"}
    with pytest.raises(InputError, match="no model 'theirs'"):
        library["theirs"]
    assert set(ModelPack(tmp_path).rows) == {"mine", "theirs", "others"}


def test_an_edited_index_is_refused(tmp_path: Path) -> None:
    write_index(tmp_path, [(HELD_OUT, "train")])
    with pytest.raises(HeldOutError, match="claims held-out model"):
        TrainingLibrary([tmp_path])


def test_fingerprints_do_not_depend_on_the_unit() -> None:
    vertices, faces = merged_geometry(make_object("chair", 0).parts)
    metres, inches = (fingerprint(vertices * scale, faces).astype(float) for scale in (1.0, 39.37))
    assert (metres * inches).sum() > 0.98 * np.sqrt(metres.sum() * inches.sum())
    assert not fingerprint(np.zeros((3, 3)), np.zeros((0, 3), dtype=np.int64)).any()


def test_a_missing_pack_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        ModelPack(tmp_path / "nothing.zip")
