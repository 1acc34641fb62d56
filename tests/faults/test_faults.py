"""Every command that writes, under every fault of the system: one sentence, exit code 2, nothing torn, nothing mixed.

Kills at random moments of real processes are `python -m tests.faults.kills`.
"""

import errno
import json
import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer
from safetensors.torch import save_file

from scenewright.cli.app import app
from scenewright.encoders.dinov2 import Dinov2, Dinov2Config
from scenewright.encoders.records import DINOV3_VITL16
from scenewright.evaluation.reconstruction import Reconstruction
from scenewright.io.scene_file import load_scene
from scenewright.systems.catalogue import all_records
from tests.encoders.masks.test_sam import TINY
from tests.encoders.test_depth import write_tiny_depth
from tests.faults.commands import COMMANDS, CUBOID, FURTHER, Command, make_inputs
from tests.faults.kills import finished_files, generation_of, problems
from tests.support.command_line import run_here
from tests.support.write_steps import write_steps
from tests.systems.genrecon.test_networks import write_networks
from tests.systems.genrecon.tiny_capture import write_capture
from tests.tiny_inspace import write_tiny_inspace
from tests.tiny_iscene import write_tiny_iscene
from tests.tiny_scenegen import write_tiny_scenegen
from tests.tiny_trellis1 import write_tiny_trellis1
from tests.tiny_trellis2 import write_tiny_trellis2

ALL = {command.name: command for command in (*COMMANDS, *FURTHER)}
FAULTS: dict[str, Callable[[], BaseException]] = {
    "read-only": lambda: OSError(errno.EROFS, os.strerror(errno.EROFS)),
    "not allowed": lambda: PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
    "memory": lambda: RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_inputs(tmp_path_factory.mktemp("faults") / "inputs", run_here)
    for words in (
        ["data", "import", f"{folder}/made/room.glb", "-o", f"{folder}/pack"],
        ["train", f"{folder}/recipe.toml", "--data", f"{folder}/samples", "-o", f"{folder}/run", "--device", "cpu"],
        ["prepare", "assets", "--parametric", "1", "--num-views", "1", "--picture-size", "32", "--resolution", "16"]
        + ["--structure-resolution", "16", "-o", f"{folder}/assets"],
    ):
        code, printed = run_here(words)
        assert code == 0, printed
    return folder


@pytest.fixture
def _stand_ins(inputs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A made scene, and figures, in the place of what networks compute."""
    scene = load_scene(inputs / "made" / "room.glb")

    class Remaking:
        name = "cuboid"

        def generate(self, *_: object, **__: object) -> object:
            return scene

        reroll = generate

        def weights_sha256(self) -> dict[str, str]:
            return {}

    sizes = Dinov2Config(image_size=28, width=16, depth=1, num_heads=2)
    results = {
        "scenewright.systems.single_object.generate.load_backbone": None,
        "scenewright.systems.single_object.generate.object_from_pictures": scene,
        "scenewright.systems.single_object.texturing.Texturer.from_pretrained": None,
        "scenewright.systems.single_object.texturing.texture_mesh": scene,
        "scenewright.runs.latents.encoder_from_pretrained": Dinov2(sizes).eval(),
        "scenewright.evaluation.reconstruction.load_autoencoders": None,
        "scenewright.evaluation.reconstruction.reconstruct_models": (
            [Reconstruction("a", {"f": 0.5}, scene.objects[0].parts[0])],
            [],
        ),
    }
    for name, result in results.items():
        monkeypatch.setattr(name, lambda *_, result=result, **__: result)
    is_reroll = lambda settings, *_, **__: Remaking()  # noqa: E731
    if "reroll" in str(os.environ.get("PYTEST_CURRENT_TEST")):
        monkeypatch.setattr("scenewright.runs.generate.load_system", is_reroll)


def leaves(command: object, name: str = "") -> Iterator[str]:
    """Names of all subcommands."""
    for word, part in command.commands.items():  # type: ignore[attr-defined]
        if hasattr(part, "commands"):
            yield from leaves(part, f"{name}{word} ")
        else:
            yield name + word


def test_every_command_stands_in_the_table() -> None:
    covered = {" ".join(c.arguments[: 2 if c.arguments[0] in ("data", "prepare") else 1]) for c in ALL.values()}
    # One writes nothing; the others have tests of their own (tests/serve, tests/studio).
    assert set(leaves(typer.main.get_command(app))) - covered == {"compare", "serve", "studio"}


@pytest.mark.usefixtures("_stand_ins")
@pytest.mark.parametrize("name", ALL)
def test_a_kill_before_any_step_leaves_nothing_torn_and_the_next_run_makes_the_same(
    name: str, inputs: Path, tmp_path: Path
) -> None:
    """What a kill leaves is what lies there when a step begins: a copy of it, taken then."""
    command, out, copies = ALL[name], tmp_path / "out", tmp_path / "copies"
    out.mkdir()
    taken = 0

    def take(step: str, path: Path) -> None:
        nonlocal taken
        shutil.copytree(out, copies / str(taken), symlinks=True)
        taken += 1

    with write_steps(out, take):
        code, printed = run_here(command.words(inputs, out))
    assert code == 0, printed
    assert taken >= 4
    whole = [generation_of(out)]
    assert whole[0]
    assert not list(out.rglob(".*"))
    for number in range(taken):
        assert problems(copies / str(number), whole, command.varies) == [], f"before step {number}"
    half = copies / str(taken // 2)
    code, printed = run_here(command.words(inputs, half))
    assert code == 0, printed
    assert problems(half, whole, command.varies) == []
    assert finished_files(half).keys() == finished_files(out).keys()
    assert not list(half.rglob(".*"))


@pytest.mark.usefixtures("_stand_ins")
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ALL)
def test_an_output_that_cannot_be_written_is_one_sentence(name: str, fault: str, inputs: Path, tmp_path: Path) -> None:
    def refuse(step: str, path: Path) -> None:
        raise FAULTS[fault]()

    with write_steps(tmp_path, refuse):
        code, printed = run_here(ALL[name].words(inputs, tmp_path))
    assert_one_sentence(code, printed)
    assert not list(tmp_path.rglob("*"))


@pytest.mark.usefixtures("_stand_ins")
@pytest.mark.parametrize("name", ALL)
def test_a_full_disk_is_one_sentence_and_leaves_nothing_torn(name: str, inputs: Path, tmp_path: Path) -> None:
    room = 200
    with files_of_at_most(room):
        code, printed = run_here(ALL[name].words(inputs, tmp_path))
    if name == "folder":  # goes on with the next photograph, and says in the end which ones failed
        assert (code, printed.count("File too large.")) == (1, 2)
    elif name == "batch":  # sets the job aside, and then cannot write down that it did
        assert (code, printed.count("File too large.")) == (2, 2)
    else:
        assert_one_sentence(code, printed)
    assert not [name for name, path in finished_files(tmp_path).items() if path.stat().st_size in (0, room)]
    assert not list(tmp_path.rglob(".*"))


PUBLISHED = {
    "generate": ("generate", "IN/room.png", "-m", "IN/room_masks.png", "-o", "OUT/a.glb", "--weights", "published"),
    "object": ("object", "IN/cut.png", "-o", "OUT/a.glb"),
    "texture": ("texture", "IN/made/room.glb", "IN/cut.png", "-o", "OUT/a.glb"),
    "panorama": ("panorama", "IN/panorama.png", "--depth", "auto", "--json", "OUT/a.json"),
    "prepare latents": ("prepare", "latents", "IN/assets", "-o", "OUT/latents", "--structure", "IN/run"),
    "segmenter": ("generate", "IN/room.png", "-m", "auto", "-o", "OUT/a.glb")
    + ("--segmenter", "facebook/sam2.1-hiera-large", *CUBOID),
}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("is_asked", [True, False])
def test_weights_that_are_not_here_are_one_sentence_without_a_network(
    name: str, is_asked: bool, inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--offline` opens no connection at all; without it, one that nobody answers ends the command at once."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "cache"), raising=False)
    tried = []

    def connect(*address: object, **options: object) -> None:
        tried.append(address)
        raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))

    monkeypatch.setattr("socket.create_connection", connect)
    monkeypatch.setattr("socket.socket.connect", connect)
    monkeypatch.setattr("socket.getaddrinfo", connect)
    out = tmp_path / "out"
    out.mkdir()
    code, printed = run_here([*Command(name, PUBLISHED[name]).words(inputs, out), *(["--offline"] if is_asked else [])])
    assert_one_sentence(code, printed)
    assert bool(tried) != is_asked
    assert not [path for path in out.rglob("*") if path.is_file()]


_ONE_PICTURE = ("generate", "IN/room.png", "-m", "IN/room_masks.png", "-o", "OUT/a.glb")
DAMAGED = {
    "train": (*COMMANDS[-2].arguments, "--init-from", "IN/cut/run/encoder.safetensors"),
    "prepare latents": ("prepare", "latents", "IN/assets", "-o", "OUT/latents", "--structure", "IN/run")
    + ("--encoder-weights", "IN/cut/trellis1/encoder.safetensors"),
    "reconstruct": ("reconstruct", "IN/pack", "--shape", "IN/cut/run", "--split", "all", "--json", "OUT/a.json"),
    "object": ("object", "IN/cut.png", "-o", "OUT/a.glb", "--weights", "IN/cut/trellis1"),
    "trellis2": ("object", "IN/cut.png", "-o", "OUT/a.glb", "--backbone", "trellis2", "--weights", "IN/cut/trellis2"),
    "texture": ("texture", "IN/made/room.glb", "IN/cut.png", "-o", "OUT/a.glb", "--weights", "IN/cut/trellis2"),
    "I-Scene": (*_ONE_PICTURE, "--system", "iscene", "--weights", "IN/cut/iscene"),
    "SceneGen": (*_ONE_PICTURE, "--system", "scenegen", "--weights", "IN/cut/scenegen"),
    "InSpace": ("generate", "IN/panorama.png", "-o", "OUT/a.glb", "--system", "inspace", "--weights", "IN/cut/inspace")
    + ("--decoder-weights", "IN/cut/trellis2"),
    "GenRecon": ("generate", "IN/capture", "-o", "OUT/a.glb", "--system", "genrecon", "--weights", "IN/cut/genrecon"),
    "segmenter": ("generate", "IN/room.png", "-m", "auto", "-o", "OUT/a.glb", "--segmenter", "IN/cut/sam", *CUBOID),
    "panorama": ("panorama", "IN/panorama.png", "--depth-model", "IN/cut/depth", "--json", "OUT/a.json"),
    "replay": ("replay", "IN/damaged/room.json", "-o", "OUT/a.glb"),
    "reroll": ("reroll", "IN/damaged/room.json", "object_1", "-o", "OUT/a.glb"),
    "edit": ("edit", "IN/damaged/room.glb", "--regenerate", "object_1", "-o", "OUT/a.glb"),
    "evaluate": ("evaluate", "--scenes", "IN/made", "--system", "iscene", "--weights", "IN/cut/iscene")
    + ("--json", "OUT/a.json"),
}


@pytest.mark.usefixtures("_cut_weights")
@pytest.mark.parametrize("name", DAMAGED)
def test_weights_that_end_too_early_are_one_sentence(name: str, inputs: Path, tmp_path: Path) -> None:
    code, printed = run_here(Command(name, DAMAGED[name]).words(inputs, tmp_path))
    assert_one_sentence(code, printed)
    assert "cut" in printed
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.fixture(scope="module")
def _cut_weights(inputs: Path) -> None:
    """A folder of small weights for every system and network, each file only its first half."""
    cut = inputs / "cut"
    shutil.copytree(inputs / "run", cut / "run")
    for name, write in _TINY_FOLDERS.items():
        write(cut / name)
    for path in [*cut.rglob("*.safetensors"), *cut.rglob("*.pt")]:
        os.truncate(path, path.stat().st_size // 2)
    _made_by_iscene(inputs, "damaged", str(cut / "iscene"))
    if not (inputs / "capture").exists():
        write_capture(inputs / "capture")


def _made_by_iscene(inputs: Path, name: str, weights: str) -> None:
    """A folder with the made scene and its manifest, as if I-Scene with those weights had made it."""
    shutil.copytree(inputs / "made", inputs / name)
    manifest = json.loads((inputs / "made" / "room.json").read_text())
    manifest["settings"] |= {"system": "iscene", "weights": weights}
    (inputs / name / "room.json").write_text(json.dumps(manifest))


VERIFIED = PUBLISHED | {
    "I-Scene": (*PUBLISHED["generate"], "--system", "iscene"),
    "SceneGen": (*PUBLISHED["generate"], "--system", "scenegen"),
    "InSpace": ("generate", "IN/panorama.png", "-o", "OUT/a.glb", "--system", "inspace", "--weights", "published"),
    "GenRecon": ("generate", "IN/capture", "-o", "OUT/a.glb", "--system", "genrecon", "--weights", "IN/genrecon"),
    "trellis2": (*PUBLISHED["object"], "--backbone", "trellis2"),
    "replay": ("replay", "IN/published/room.json", "-o", "OUT/a.glb"),
    "reroll": ("reroll", "IN/published/room.json", "object_1", "-o", "OUT/a.glb"),
    "edit": ("edit", "IN/published/room.glb", "--regenerate", "object_1", "-o", "OUT/a.glb"),
    "evaluate": ("evaluate", "--scenes", "IN/made", "--system", "iscene", "--weights", "published", "--json", "OUT/a"),
}
OWN_WEIGHTS = {"train", "reconstruct"}
"""Commands that open weights of the user's own runs only, of which no hash is known."""
NO_WEIGHTS = {
    *("convert", "render", "compare", "list", "doctor", "prepare assets", "data make", "data import", "data pack"),
    "demo",  # whose weights ship with the package
    *("serve", "batch", "studio"),  # whose jobs open them as `generate` does
}


def test_every_command_that_opens_weights_stands_in_both_tables() -> None:
    def commands(table: dict[str, tuple[str, ...]]) -> set[str]:
        return {" ".join(words[: 2 if words[0] in ("data", "prepare") else 1]) for words in table.values()}

    every = set(leaves(typer.main.get_command(app)))
    assert every - commands(DAMAGED) == NO_WEIGHTS
    assert every - commands(VERIFIED) == NO_WEIGHTS | OWN_WEIGHTS


@pytest.mark.parametrize("name", VERIFIED)
def test_weights_of_another_hash_are_one_sentence(
    name: str, inputs: Path, tmp_path: Path, other_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole files of the right sizes; what a command opens first is none that its record or the note knows."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(other_weights))
    code, printed = run_here([*Command(name, VERIFIED[name]).words(inputs, tmp_path), "--offline"])
    assert_one_sentence(code, printed)
    assert "SHA-256" in printed or "recorded hash" in printed, printed
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def other_weights(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A hub cache of small networks, with a note that knows them by another hash."""
    cache, noted, sizes = tmp_path_factory.mktemp("hub"), {}, {}
    records = all_records().values()
    for repository in {record.repository for record in records if "/" in record.repository}:
        folder = cache / f"models--{repository.replace('/', '--')}"
        (folder / "refs").mkdir(parents=True)
        (folder / "refs" / "main").write_text(_COMMIT)
        snapshot = folder / "snapshots" / _COMMIT
        snapshot.mkdir(parents=True)
        if repository in _TINY_REPOSITORIES:
            _TINY_FOLDERS[_TINY_REPOSITORIES[repository]](snapshot)
        for pipeline in snapshot.glob("*pipeline.json"):
            pipeline.write_text(_with_published_names(pipeline.read_text(), snapshot))
        for record in records:
            if record.repository == repository and "*" not in record.file:
                path = snapshot / record.file
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b"other weights")
                if record.sha256 is not None:
                    sizes[record.name] = record.size_bytes
                    object.__setattr__(record, "size_bytes", path.stat().st_size)
        for path in [*snapshot.rglob("*.safetensors"), *snapshot.rglob("*.pt")]:
            noted[f"{repository}@main/{path.relative_to(snapshot)}"] = "0" * 64
    (cache / "scenewright_hashes.json").write_text(json.dumps({"sha256": noted}))
    _made_by_iscene(inputs, "published", "published")
    if not (inputs / "capture").exists():
        write_capture(inputs / "capture")
    (inputs / "genrecon").mkdir()
    save_file({}, inputs / "genrecon" / "sparse_structure.safetensors", {"source_sha256": "0" * 64})
    yield cache
    for name, size in sizes.items():
        object.__setattr__(all_records()[name], "size_bytes", size)


def _with_published_names(pipeline: str, folder: Path) -> str:
    for own, published in _PUBLISHED_NAMES.items():
        pipeline = pipeline.replace(f'"{own}"', f'"{published}"')
        if (folder / f"{own}.json").exists() and published.startswith("ckpts/"):
            shutil.copy(folder / f"{own}.json", folder / f"{published}.json")
    return pipeline.replace(
        '"encoder"', f'"{DINOV3_VITL16.repository if "DinoV3" in pipeline else "dinov2_vitl14_reg"}"'
    )


def _write_tiny_sam(folder: Path) -> None:
    from transformers import Sam2Config, Sam2Model  # takes seconds

    Sam2Model(Sam2Config(**TINY)).save_pretrained(folder)


_COMMIT = "a" * 40
_PUBLISHED_NAMES = {
    "ckpts/sparse_structure_flow_model": "ckpts/ss_flow_img_dit_L_16l8_fp16",
    "ckpts/ss_scenegen_flow": "ckpts/ss_scenegen_flow_img_dit_L_16l8_fp16",
}
_TINY_FOLDERS: dict[str, Callable[[Path], object]] = {
    "trellis1": write_tiny_trellis1,
    "trellis2": write_tiny_trellis2,
    "iscene": write_tiny_iscene,
    "scenegen": write_tiny_scenegen,
    "inspace": write_tiny_inspace,
    "genrecon": write_networks,
    "sam": _write_tiny_sam,
    "depth": write_tiny_depth,
}
_TINY_REPOSITORIES = {
    "microsoft/TRELLIS-image-large": "trellis1",
    "microsoft/TRELLIS.2-4B": "trellis2",
    "LuLing/IScene": "iscene",
    "haoningwu/SceneGen": "scenegen",
    "GwanHyeong/InSpace": "inspace",
}


def assert_one_sentence(code: int, printed: str) -> None:
    assert code == 2, printed
    assert "Traceback" not in printed
    assert printed.count("scenewright: ") == 1, printed
    assert printed.rpartition("scenewright: ")[2].count("\n") == 1


@contextmanager
def files_of_at_most(num_bytes: int) -> Iterator[None]:
    """The system writes no file beyond this size, as on a disk that has become full."""
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, limits[1]))
    # Python keeps a compiled module that was cut short so, and fails at it ever after.
    kept, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        yield
    finally:
        sys.dont_write_bytecode = kept
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
