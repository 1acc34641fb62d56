"""Manifests: what is a job, and what is set aside with which reason."""

from pathlib import Path

import pytest

from scenewright.batch.manifest import MAX_LINE_BYTES, BadLine, Task, read_manifest_lines
from scenewright.batch.places import open_place
from scenewright.errors import InputError
from tests.batch.manifests import line, write_manifest


def entries(folder: Path, *lines: dict | str) -> list:
    write_manifest(folder, lines)
    found = read_manifest_lines(open_place(str(folder)), "jobs.jsonl")
    return [entry if isinstance(entry, BadLine) else entry[0] for entry in found]


def test_lines_become_tasks_with_names_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    unnamed = {key: value for key, value in line("").items() if key != "name"}
    first, second, third = entries(tmp_path, line("kitchen"), "", line("hall", device="cpu"), unnamed)
    assert (first.name, first.takes_device) == ("kitchen", True)
    assert (second.name, second.takes_device) == ("hall", False)
    assert third.name == "line-0000004"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "no JSON object"),
        ("[1]", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ('{"a": "' + "x" * MAX_LINE_BYTES + '"}', "longer than"),
        (line("../up"), "its name '../up' is not made of"),
        (line("a/b"), "its name 'a/b'"),
        (line("x" * 101), "its name"),
        (line("batch.json"), "is that of a file of the batch"),
        (line("Set_Aside.jsonl"), "is that of a file of the batch"),
        ({"name": "a", "kind": "capture", "settings": {"folder": "c", "seed": -1}}, "seed"),
        ({"name": "a", "kind": "capture", "settings": {"folder": "c", "seed": 1 << 63}}, "seed"),
        ({"name": "a", "kind": "capture", "settings": {"folder": "c", "texture_size": -4}}, "texture_size"),
        ({"name": "a", "kind": "evaluate", "seed": 1 << 63}, "seed"),
        ({"name": "a", "kind": "export", "scene": "a.glb", "suffix": "/../../x.obj"}, "no format '/../../x.obj'"),
        ({"name": "a", "kind": "data", "recipe": {"seed": -1}}, "Expected seed from 0"),
        ({"name": "a", "kind": "prepare", "preparation": {"seed": -1}}, "seed"),
        (line("a", sed=3), "unknown key 'sed'; did you mean 'seed'?"),
        (line("a") | {"knd": 1}, "unknown key 'knd'; did you mean 'kind'?"),
        (line("a", seed="one"), "seed"),
        (line("a", stages="/tmp/stages"), "stages are not kept"),
        (line("a", weights="somebody/else"), "names the repository 'somebody/else'"),
        ({"name": "a", "kind": "reroll", "scene": "a.glb", "names": ["b"]}, "a batch does no 'reroll' jobs"),
        ({"name": "a", "kind": "paint"}, "kind"),
        ({"name": "a", "kind": "capture", "settings": {"folder": "c", "photographs": "/home"}}, "'photographs'"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_line_that_is_no_job_is_set_aside_with_its_reason(content: dict | str, reason: str, tmp_path: Path) -> None:
    bad, good = entries(tmp_path, content, line("good"))
    assert isinstance(bad, BadLine)
    assert reason in bad.reason
    assert bad.reason.startswith("line 1: ")
    assert isinstance(good, Task)


def test_a_name_is_used_once_whatever_its_capitals(tmp_path: Path) -> None:
    _, again = entries(tmp_path, line("Hall"), line("hall", seed=1))
    assert again == BadLine(2, "hall", "line 2: another line has the name 'hall'")


def test_a_manifest_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"jobs\.jsonl' does not exist"):
        list(read_manifest_lines(open_place(str(tmp_path)), "jobs.jsonl"))
