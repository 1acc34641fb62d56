"""Settings of a run: what cannot be is refused where they are made, or read from a manifest."""

from pathlib import Path

import pytest

from scenewright.errors import InputError
from scenewright.files import checked, reading
from scenewright.runs.manifest import GenerateSettings


@pytest.mark.parametrize(
    "room", [{"heading_deg": float("nan")}, {"extent_m": (1e4, 1.0, 1.0, 1.0)}, {"camera_height_m": 0.0}]
)
def test_a_room_that_cannot_be_is_refused_with_the_settings(room: dict) -> None:
    with pytest.raises(InputError, match=r"^Expected "):
        GenerateSettings("p.png", (), "mini", **room)


def test_a_room_that_cannot_be_is_refused_in_a_manifest() -> None:
    settings = {"image": "p.png", "masks": [], "system": "mini", "floor_m": 5000.0}
    with (
        pytest.raises(InputError, match=r"^Cannot read 'room\.json': .*floor in metres .* up to 1000, got 5000\."),
        reading(Path("room.json"), "a manifest", "give another"),
    ):
        checked(settings, GenerateSettings)
    assert checked({**settings, "floor_m": 1.5}, GenerateSettings).room.floor_m == 1.5
