"""Packs of procedural objects are read like packs of catalogue models."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from scenewright.data.importing import attribution_csv
from scenewright.data.library import ModelPack, TrainingLibrary
from scenewright.data.selection import Selector, role_of, stand_of

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


OUTDOORS = """\
id,name,category,split,width_m,depth_m,height_m,catalogue_elevation_m
bike,Bike,Vehicles,train,0.5,1.8,1.0,0
car,Car,Vehicles,train,1.8,4.4,1.5,0
rails,Rails,Vehicles,train,2.0,1.0,0.1,0
deck_chair,Deck chair,Exterior,train,0.7,1.3,0.8,0
tree,Tree,Exterior,train,5,5,7,0
bell,Bell,Exterior,train,0.4,0.2,0.3,1.5
"""


def test_bicycles_and_deck_chairs_stand_outdoors_and_on_plain_floors(tmp_path: Path) -> None:
    (tmp_path / "index.csv").write_text(OUTDOORS)
    rows = ModelPack(tmp_path).rows.values()
    assert {row.id for row in rows if stand_of(row) == "outdoors"} == {"bike", "deck_chair"}
    assert {stand_of(row) for row in rows} == {"outdoors", "none"}


def test_every_pack_has_the_same_share_of_what_is_drawn(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    many = tmp_path_factory.mktemp("many")
    (many / "glb").mkdir()
    names = [f"chair_{number}" for number in range(9)]
    (many / "index.csv").write_text(
        "id,name,category,split,width_m,depth_m,height_m\n"
        + "".join(f"{name},{name},Office,train,0.5,{0.5 + 0.05 * i},0.9\n" for i, name in enumerate(names))
    )
    for name in names:
        shutil.copy(MODEL, many / "glb" / f"{name}.glb")
    selector = Selector(TrainingLibrary([folder, many], families=()), parametric_share=0.0)
    rng = np.random.default_rng(0)
    drawn = [selector.floor(rng).asset.id for _ in range(200)]
    assert 0.4 < drawn.count("ig_chair_7") / len(drawn) < 0.6
    assert set(drawn) == {"ig_chair_7", *names}


def test_models_are_stretched_where_the_selector_is_told_to(folder: Path) -> None:
    library = TrainingLibrary([folder], families=())
    rng = np.random.default_rng(0)
    plain = np.array(library["ig_chair_7"].asset.size_m)
    sizes = np.array([Selector(library, 0.0, 0.1).floor(rng).asset.size_m for _ in range(40)])
    assert np.log(sizes / plain).std(0) == pytest.approx([0.1, 0.1, 0.1], abs=0.04)
    assert Selector(library, 0.0).floor(rng).asset.size_m == pytest.approx(plain.tolist())


def test_a_procedural_object_is_credited_to_its_factory_and_seed(folder: Path) -> None:
    asset = TrainingLibrary([folder], families=())["ig_chair_7"].asset
    assert asset.credit.creator == "infinigen, ChairFactory, seed 7"
    assert "CC0-1.0" in attribution_csv([(asset.id, asset.name, asset.credit)])
    # An attribution table of the pack's own goes before.
    (folder / "ATTRIBUTION.csv").write_text("id,creator\nig_chair_7,Ann\n")
    assert ModelPack(folder).rows["ig_chair_7"].credit.creator == "Ann"
