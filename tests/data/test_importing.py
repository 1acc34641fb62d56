"""Catalogues and folders of models, good and bad."""

import csv
import json
import zipfile
from pathlib import Path

import pytest
import torch

from scenewright.data.asset import Credit
from scenewright.data.catalogue import ArchiveFiles, find_models, parse_properties, read_entry
from scenewright.data.importing import QualityLimits, import_models, quality_problems
from scenewright.data.library import TrainingLibrary
from scenewright.data.model_files import archive_path, read_model
from scenewright.data.parametric import make_object
from scenewright.errors import InputError
from scenewright.io.glb import glb_bytes
from scenewright.types import Mesh, Scene, SceneObject

# A wedge: 2 wide, 1 high, 4 deep, y up; its low edge is at +z, the front.
WEDGE = """mtllib wedge.mtl
usemtl paint
v 0 0 0
v 2 0 0
v 2 0 4
v 0 0 4
v 0 1 0
v 2 1 0
f 1 2 3
f 1 3 4
f 1 6 2
f 1 5 6
f 5 4 3
f 5 3 6
f 1 4 5
f 2 6 3
"""
MTL = "newmtl paint\nKd 1.0 0.0 0.0\nNs 10\n"


def sh3f(path: Path, properties: str, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", properties)
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_catalogue_gives_size_frame_credit_and_a_usable_pack(tmp_path: Path) -> None:
    properties = (
        "# a catalogue\nid#1=Mine#wedge\nname#1=K\\u00e4se\ncategory#1=Office\nmodel#1=/models/wedge.obj\n"
        "width#1=80\ndepth#1=40\nheight#1=120\ncreator#1=Ann\nlicense#1=CC0\nmovable#1=true\n"
    )
    source = sh3f(tmp_path / "a.sh3f", properties, {"models/wedge.obj": WEDGE, "models/wedge.mtl": MTL})
    (entry,) = find_models(source)
    asset = read_entry(entry)
    assert asset.size_m == pytest.approx((0.8, 0.4, 1.2))
    assert (asset.name, asset.credit.creator, asset.credit.licence) == ("K\u00e4se", "Ann", "CC0")
    points = torch.cat([part.vertices for part in asset.parts])
    assert points[:, 2].min() == pytest.approx(0, abs=1e-6)
    # The file's front (+z) is our -y: the high edge must stand at +y.
    assert (points[points[:, 2] > 1.0][:, 1] > 0.19).all()
    assert asset.parts[0].material is not None
    assert asset.parts[0].material.base_color_factor[:3] == pytest.approx((1, 0, 0))
    report = import_models([entry], tmp_path / "pack")
    assert report.counts == {"kept": 1}
    library = TrainingLibrary([tmp_path / "pack"], families=())
    again = library[entry.id].asset
    assert again.size_m == pytest.approx(asset.size_m, abs=1e-5)
    rows = list(csv.DictReader((tmp_path / "pack" / "ATTRIBUTION.csv").open()))
    assert rows[0]["creator"] == "Ann"


def test_a_folder_of_models_and_archives(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    chair = make_object("chair", 3)
    (folder / "chair.glb").write_bytes(glb_bytes(Scene((SceneObject("chair", chair.parts),))))
    (folder / "wedge.obj").write_text(WEDGE)
    with zipfile.ZipFile(folder / "box.zip", "w") as archive:
        archive.writestr("deep/wedge.obj", WEDGE)
    entries = find_models(folder, credit=Credit(creator="Bo"))
    assert len({entry.id for entry in entries}) == 3
    sizes = {entry.name: read_entry(entry).size_m for entry in entries}
    assert sizes["chair"] == pytest.approx(chair.size_m, abs=1e-4)
    assert sizes["wedge"] == pytest.approx((2, 4, 1))


@pytest.mark.parametrize(
    "reference", ["../../etc/passwd", "/etc/passwd", "C:\\secret.mtl", "http://host/x.mtl", "a/../../../b"]
)
def test_references_outside_the_archive_are_refused(reference: str) -> None:
    with pytest.raises(InputError, match="inside the archive"):
        archive_path("models", reference)


def test_an_obj_that_climbs_out_is_refused_and_missing_files_are_flagged() -> None:
    climbing = WEDGE.replace("wedge.mtl", "../../../etc/passwd")
    with pytest.raises(InputError, match="nothing outside is read"):
        read_model("m/wedge.obj", {"m/wedge.obj": climbing.encode()})
    parts, flags = read_model("m/wedge.obj", {"m/wedge.obj": WEDGE.encode()})
    assert "reference_missing" in flags
    assert sum(len(part.faces) for part in parts) == 8
    textured = {"m/wedge.obj": WEDGE.encode(), "m/wedge.mtl": (MTL + "map_Kd ../../../../etc/hosts\n").encode()}
    with pytest.raises(InputError, match="nothing outside is read"):
        read_model("m/wedge.obj", textured)


def test_zip_members_that_climb_out_are_not_there(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../evil.obj", WEDGE)
        archive.writestr("good.obj", WEDGE)
    files = ArchiveFiles(tmp_path / "evil.zip")
    assert list(files) == ["good.obj"]
    assert files.refused == ["../evil.obj"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("v 0 0 0\nv 1 0 0\n", "no|Cannot read"),
        (WEDGE.replace("v 2 0 4", "v nan 0 4"), "NaN|damaged"),
        ("\x00\x01garbage", "no|Cannot read"),
        ("", "no|Cannot read"),
    ],
)
def test_models_without_faces_with_nan_or_garbage(content: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_model("x.obj", {"x.obj": content.encode()})


def test_too_many_faces_are_refused_before_parsing() -> None:
    with pytest.raises(InputError, match="simplify it first"):
        read_model("x.obj", {"x.obj": b"v 0 0 0\n" + b"f 1 1 1\n" * 5_000_000})


def test_a_glb_with_five_million_faces_is_refused(tmp_path: Path) -> None:
    # 5 M faces over four vertices: the file is a header and one index buffer.
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]]).repeat(1_250_000, 1)
    corners = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    (tmp_path / "dense.glb").write_bytes(glb_bytes(Scene((SceneObject("dense", (Mesh(corners, faces),)),))))
    report = import_models(find_models(tmp_path), tmp_path / "out")
    assert report.counts == {"refused": 1}
    assert "5,000,000 faces" in report.lines[0].reasons[0]


def test_a_corrupt_catalogue_is_named_and_a_bad_line_costs_one_model(tmp_path: Path) -> None:
    zipped = sh3f(tmp_path / "a.sh3f", "id#1=a\nname#1=A\nmodel#1=/m/wedge.obj\nwidth#1=many\n", {"m/wedge.obj": WEDGE})
    cut = zipped.read_bytes()[:200]
    (tmp_path / "cut.sh3f").write_bytes(cut)
    with pytest.raises(InputError, match=r"cut\.sh3f"):
        find_models(tmp_path / "cut.sh3f")
    properties = (
        "id#1=a\nname#1=A\nmodel#1=/m/gone.obj\nwidth#1=80\ndepth#1=40\nheight#1=120\n"
        "id#2=b\nname#2=B\nmodel#2=/m/wedge.obj\nwidth#2=80\ndepth#2=40\nheight#2=120\n"
    )
    half = sh3f(tmp_path / "half.sh3f", properties, {"m/wedge.obj": WEDGE})
    report = import_models(find_models(half), tmp_path / "out")
    assert report.counts == {"kept": 1, "refused": 1}
    assert "gone.obj" in " ".join(reason for line in report.lines for reason in line.reasons)


def test_absurd_scale_and_flat_nothing_are_reported(tmp_path: Path) -> None:
    (tmp_path / "huge.obj").write_text(WEDGE.replace("v 2 0 4", "v 2 0 4000"))
    (tmp_path / "line.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\nf 1 3 2\nf 2 1 3\nf 3 1 2\n")
    (tmp_path / "cut.glb").write_bytes(b"glTF\x02\x00\x00\x00")
    report = import_models(find_models(tmp_path), tmp_path / "out")
    assert report.counts == {"refused": 3}
    reasons = " ".join(reason for line in report.lines for reason in line.reasons)
    assert "wrong unit?" in reasons
    assert "no area" in reasons
    assert "truncated" in reasons
    assert json.loads((tmp_path / "out" / "report.json").read_text())["counts"] == {"refused": 3}


def test_quality_limits_are_the_callers() -> None:
    asset = make_object("chair", 0)
    assert quality_problems(asset) == []
    assert "at most 10" in quality_problems(asset, QualityLimits(max_faces=10))[0]


def test_properties_files() -> None:
    parsed = parse_properties("a=1\n! note\nb : two \\\n   words\nc\\=d = x\\u0041\\n\n")
    assert parsed == {"a": "1", "b": "two words", "c=d": "xA\n"}


def test_a_property_without_end_is_refused_by_name(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "long.sh3f", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("PluginFurnitureCatalog.properties", b"\0" * 10**6)
    with pytest.raises(InputError, match=r"long\.sh3f.*1,000,000 characters"):
        find_models(tmp_path / "long.sh3f")


@pytest.mark.parametrize("name", ["nothing", "empty.zip"])
def test_nothing_to_import(tmp_path: Path, name: str) -> None:
    if name == "empty.zip":
        zipfile.ZipFile(tmp_path / name, "w").close()
    with pytest.raises(InputError):
        find_models(tmp_path / name)


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.sh3f").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(InputError, match=r"bad\.sh3f"):
        find_models(tmp_path / "bad.sh3f")
