import csv
from pathlib import Path

from scripts.mini_data import ATTRIBUTION, credit

from scenewright.data.asset import Credit
from scenewright.data.importing import attribution_csv
from scenewright.systems.mini.networks import mini_folder


def table(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_weights_that_go_on_with_other_models_credit_the_earlier_ones_too(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    new = Credit("Ann", "Ann, of\ntwo lines", "CC0-1.0")
    (data / ATTRIBUTION).write_text(attribution_csv([("zz_vase", "Vase", new)]))
    credit(data, out)
    assert [(row["id"], row["rights_holder"]) for row in table(out / ATTRIBUTION)] == [
        ("zz_vase", "Ann, of\ntwo lines")
    ]
    shipped = (mini_folder() / ATTRIBUTION).read_bytes()
    (out / ATTRIBUTION).write_bytes(shipped)
    credit(out, out)
    assert (out / ATTRIBUTION).read_bytes() == shipped
    credit(data, out)
    assert table(out / ATTRIBUTION) == [*table(mini_folder() / ATTRIBUTION), *table(data / ATTRIBUTION)]
