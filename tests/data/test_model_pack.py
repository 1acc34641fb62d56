"""Packs of procedural objects are read like packs of catalogue models."""

import shutil
from pathlib import Path

import pytest

from scenewright.data.importing import attribution_csv
from scenewright.data.library import ModelPack, TrainingLibrary
from scenewright.data.selection import role_of, stand_of

MODEL = Path(__file__).parent / "furniture" / "b0_bedsidetable2.glb"
INDEX = """\
id,factory,category,seed,split,width_m,depth_m,height_m,flags,licence
ig_chair_7,ChairFactory,chair,7,train,0.5,0.5,0.9,,"procedural output of infinigen, CC0-1.0"
ig_bowl_8,BowlFactory,tableware,8,train,0.2,0.2,0.1,see_through,"procedural output of infinigen, CC0-1.0"
ig_shelf_9,WallShelfFactory,wall shelf,9,train,0.4,0.1,0.2,,"procedural output of infinigen, CC0-1.0"
ig_door_1,PanelDoorFactory,door,1,train,1.0,0.1,2.1,,"procedural output of infinigen, CC0-1.0"
ig_sofa_2,SofaFactory,sofa,2,val,2.0,1.0,0.9,,"procedural output of infinigen, CC0-1.0"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "glb").mkdir()
    (tmp_path / "index.csv").write_text(INDEX)
    shutil.copy(MODEL, tmp_path / "glb" / "ig_chair_7.glb")
    return tmp_path


def test_procedural_objects_stand_where_catalogue_models_of_their_kind_do(folder: Path) -> None:
    library = TrainingLibrary([folder], families=())
    stands = {row.id: stand_of(row) for row in library.rows.values()}
    assert stands == {"ig_chair_7": "floor", "ig_bowl_8": "on", "ig_shelf_9": "none", "ig_door_1": "none"}
    assert role_of(library.rows["ig_chair_7"]) == "chair"
    assert library.rows["ig_bowl_8"].flags == {"see_through"}


def test_a_procedural_object_is_credited_to_its_factory_and_seed(folder: Path) -> None:
    asset = TrainingLibrary([folder], families=())["ig_chair_7"].asset
    assert asset.credit.creator == "infinigen, ChairFactory, seed 7"
    assert "CC0-1.0" in attribution_csv([(asset.id, asset.name, asset.credit)])
    # An attribution table of the pack's own goes before.
    (folder / "ATTRIBUTION.csv").write_text("id,creator\nig_chair_7,Ann\n")
    assert ModelPack(folder).rows["ig_chair_7"].credit.creator == "Ann"
