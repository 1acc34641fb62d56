"""What a release must hold, and what it must not."""

import zipfile
from pathlib import Path

from scripts.check_release import faults_of_wheel, interpreter, refused_licences, versions


def test_every_file_states_the_same_version() -> None:
    assert len(set(versions().values())) == 1, versions()


def test_a_wheel_without_types_or_with_tests_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "scenewright-0.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("assets/living_room/rgb.jpg", "assets/mini/scenegen.safetensors"):
            archive.writestr(f"scenewright/{name}", "")
        archive.writestr("scenewright-0.dist-info/licenses/LICENSE", "")
        archive.writestr("tests/test_it.py", "")
    lacks, holds = faults_of_wheel(wheel)
    assert lacks.endswith("lacks scenewright/py.typed")
    assert holds.endswith("holds tests/test_it.py")


def test_packages_under_gpl_are_named_and_a_choice_of_licences_is_fine() -> None:
    def component(name: str, *licences: dict) -> dict:
        return {"name": name, "version": "1", "licenses": list(licences)}

    refused = refused_licences(
        [
            component("mit", {"license": {"id": "MIT"}}),
            component("silent"),
            component("choice", {"expression": "MIT OR GPL-2.0-or-later"}),
            component("lesser", {"license": {"id": "LGPL-3.0-only"}}),
            component("lesser_in_words", {"license": {"name": "GNU Lesser General Public License v3 (LGPLv3)"}}),
            component("copyleft", {"license": {"id": "GPL-3.0-only"}}),
            component("affero", {"license": {"name": "GNU Affero General Public License v3"}}),
        ]
    )
    assert [line.split()[0] for line in refused] == ["copyleft", "affero"]


def test_an_interpreter_that_does_not_answer_is_none(tmp_path: Path) -> None:
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    assert interpreter(str(shim)) is None
    assert interpreter(str(tmp_path / "nothing")) is None
