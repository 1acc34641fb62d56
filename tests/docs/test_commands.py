"""Every command and import in README and docs exists with its options; every block is run or says why not."""

import ast
import contextlib
import importlib
import importlib.util
import json
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

import scenewright
from scenewright.cli.app import app
from scenewright.data.probe_scenes import read_test_scene
from tests.docs.pages import PAGES, ROOT, Block, blocks, name_of

COMMANDS = typer.main.get_command(app)
INLINE = re.compile(r"`scenewright ([a-z][^`]*)`")
LIVING_ROOM = Path(scenewright.__file__).parent / "assets/living_room"
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
every_page = pytest.mark.parametrize("page", PAGES, ids=name_of)


def named(words: list[str]):
    """The command that the first words name, and the words that are left."""
    command, rest = COMMANDS, words
    while rest and hasattr(command, "commands"):
        assert rest[0] in command.commands, f"there is no command 'scenewright {' '.join(words)}'"
        command, rest = command.commands[rest[0]], rest[1:]
    return command, rest


def known_options(command) -> set[str]:
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    return options | {"--help"}


def check_scenewright(words: list[str]) -> None:
    """Refuses what the command line refuses before it does anything; nothing is run."""
    command, rest = named(words)
    with command.make_context(command.name, list(rest)):
        pass
    if "--for" in rest and command.name == "doctor":
        check_scenewright(shlex.split(rest[rest.index("--for") + 1]))


def check_command(words: list[str]) -> None:
    """Refuses programs and options that do not exist; every program that the pages use has its rule."""
    if words[:2] == ["uv", "run"]:
        words = words[2:]
        words = words[2:] if words[0] == "--group" else words
    match words:
        case ["scenewright", *rest]:
            check_scenewright(rest)
        case ["until", *rest]:
            check_command([word.removesuffix(";") for word in rest[: rest.index("[")]])
        case ["torchrun" | "accelerate", *rest]:
            check_scenewright(rest[rest.index("scenewright)") + 1 :])
        case ["python", "-m", module, *_]:
            assert importlib.util.find_spec(module), f"there is no module {module}"
        case ["python", file, *_]:
            assert (ROOT / file).is_file()
        case ["pip", "install", *wanted] | ["uv", "pip", "install", *wanted]:
            for extra in re.findall(r"scenewright\[(.+?)\]", " ".join(wanted)):
                assert set(re.split(",", extra)) <= set(EXTRAS)
        case ["pytest" | "zensical" | "cp" | "curl" | "jupyter" | "(", *_]:
            pass
        case _:
            raise AssertionError(f"the page uses '{words[0]}', for which there is no rule")


def check_imports(text: str) -> None:
    """Refuses code that does not parse, and imports of ours that do not exist."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("scenewright"):
            module = importlib.import_module(node.module)
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert missing == [], f"{node.module} has no {missing}"


@every_page
def test_every_command_and_import_exists(page: Path):
    for block in blocks(page):
        if block.language in ("sh", "bash"):
            for words in block.commands():
                check_command(words)
        elif block.language == "python":
            check_imports(block.text)
        elif not block.language:
            assert "\nscenewright " not in f"\n{block.text}", "commands stand in a block of sh, where they are checked"


@every_page
def test_options_in_running_text_exist(page: Path):
    for match in INLINE.finditer(page.read_text(encoding="utf-8")):
        words = shlex.split(match[1].replace("\\|", "|"))
        command, rest = named(words)
        given = {word.split("|")[0].strip("[],") for word in rest if re.match(r"\[?--?[a-z]", word)}
        if command.name != "edit":  # its steps are words of its own
            assert given <= known_options(command), match[1]


@pytest.fixture(scope="session")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages name: a photograph, its masks and camera, and what was made of them."""
    folder = tmp_path_factory.mktemp("things")
    for name in ("room.jpg", "photo.jpg", "photographs/sofa.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(LIVING_ROOM / "rgb.jpg", folder / name)
    for name in ("masks.png", "photographs/sofa_masks.png"):
        shutil.copy(LIVING_ROOM / "instances.png", folder / name)
    camera = read_test_scene(LIVING_ROOM).camera
    known = {"intrinsics_px": camera.intrinsics_px.tolist(), "cam_from_world": camera.cam_from_world.tolist()}
    (folder / "camera.json").write_text(json.dumps(known))
    labels = scenewright.find_masks(Image.open(folder / "room.jpg"), folder / "masks.png")
    (folder / "masks").mkdir()
    for name, mask in zip(("sofa", "lamp", "chair"), labels.masks, strict=False):
        Image.fromarray(mask.numpy()).save(folder / "masks" / f"{name}.png")
    with contextlib.chdir(folder):
        run_words(["generate", "room.jpg", "--masks", "masks", "--system", "cuboid", "-o", "scene.glb"])
    for name in ("room.glb", "lamp.glb", "mine/room.glb", "truth/room.glb"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(folder / "scene.glb", folder / name)
    return folder


def run_words(words: list[str]) -> None:
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, f"scenewright {' '.join(words)}: {result.output}"


def with_added(words: list[str], added: tuple[str, ...]) -> list[str]:
    """The command with the words of "run with" that it knows, an option and its value in pairs; the last one counts."""
    known = known_options(named(words)[0])
    pairs = zip(added[::2], added[1::2], strict=True)
    return [*words, *(word for option, value in pairs if option in known for word in (option, value))]


def run_block(block: Block, names: dict[str, object]) -> None:
    if block.language == "python":
        exec(compile(block.text, "page", "exec"), names)
        return
    for words in block.commands():
        assert words[0] == "scenewright", f"'{' '.join(words)}' is not run here; say why not above the block"
        run_words(with_added(words[1:], block.added))


def is_run(block: Block) -> bool:
    return block.language in ("sh", "bash", "python") and not block.not_run


@pytest.mark.parametrize("page", [page for page in PAGES if any(map(is_run, blocks(page)))], ids=name_of)
def test_every_block_runs_as_it_stands_or_says_why_not(page: Path, things: Path, tmp_path: Path):
    shutil.copytree(things, tmp_path, dirs_exist_ok=True)
    names: dict[str, object] = {}
    with contextlib.chdir(tmp_path):
        for block in filter(is_run, blocks(page)):
            run_block(block, names)
