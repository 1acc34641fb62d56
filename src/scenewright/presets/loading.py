"""Scene systems by name, ready to generate: which weights, which decoder, on which device.

| preset | weights |
|---|---|
| `published` | the authors' repository (cached, else downloaded) |
| `mini` | what ships with this package, where it does |
| a folder or `owner/repository` | that, in the published layout |
| None | published weights if they are on this machine already, else mini |
"""

import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from scenewright.backbones.trellis2.object_sampling import PlanName
from scenewright.errors import InputError, WeightsError
from scenewright.systems.assembly.decoding import ObjectDecoder
from scenewright.systems.assembly.generator import SceneGenerator
from scenewright.systems.assembly.structures import StructureStage
from scenewright.systems.baselines.cuboid import CuboidSystem
from scenewright.systems.iscene.weights import REPOSITORY as ISCENE_REPOSITORY
from scenewright.systems.scenegen.weights import REPOSITORY as SCENEGEN_REPOSITORY
from scenewright.weights.hub import cached_file, is_local_source

__all__ = ["DECODERS", "DEFAULT_SYSTEM", "SYSTEMS", "Chosen", "DecoderName", "choose_preset", "load", "shipped_systems"]

SYSTEMS = ("iscene", "scenegen", "cuboid")
DEFAULT_SYSTEM = "scenegen"
DecoderName = Literal["trellis1", "trellis2"]
DECODERS = ("trellis1", "trellis2")
Report = Callable[[str], None]

# Repository, a file that is there only when the weights are, and the size of everything a scene needs.
_PUBLISHED = {
    "iscene": (ISCENE_REPOSITORY, "iscene_config.json", "4 GB"),
    "scenegen": (SCENEGEN_REPOSITORY, "pipeline.json", "9 GB"),
}
_MINI = "scenewright.systems.mini"
_MINI_NOTICE = "Using the mini preset, small weights of our own; better ones: {fetch}."


@dataclass(frozen=True)
class Chosen:
    """`preset` is what `load` takes; `notice` is one line for the user, or empty."""

    preset: str
    notice: str = ""


def choose_preset(system: str, preset: str | None = None) -> Chosen:
    """The preset that will be used, and what the user should know about the choice.

    Raises:
        InputError: there is no such system.
        WeightsError: no weights are here and the caller did not name any.
    """
    if system not in SYSTEMS:
        raise InputError(f"Expected a system out of {', '.join(SYSTEMS)}, got '{system}'.")
    if system == "cuboid":
        return Chosen("cuboid", "The cuboid baseline makes a box of every mask; it uses no network.")
    repository, marker, size = _PUBLISHED[system]
    fetch = f"--preset published (downloads {size} from {repository} and its parts)"
    if preset is not None:
        if preset == "mini" and system not in shipped_systems():
            raise WeightsError(f"No mini weights for '{system}' ship with this version; use {fetch}, or a folder.")
        return Chosen(preset, _MINI_NOTICE.format(fetch=fetch) if preset == "mini" else "")
    if cached_file(repository, marker) is not None:
        return Chosen("published")
    if system in shipped_systems():
        return Chosen("mini", _MINI_NOTICE.format(fetch=fetch))
    raise WeightsError(
        f"There are no weights for '{system}' on this machine, and none ship with this version: use {fetch}, "
        "--preset FOLDER, or --system cuboid, the baseline that needs none."
    )


def load(
    system: str = DEFAULT_SYSTEM,
    preset: str | None = None,
    *,
    decoder: DecoderName | None = None,
    decoder_weights: str | Path | None = None,
    resolution: int | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    offline: bool = False,
    report: Report | None = None,
) -> SceneGenerator | CuboidSystem:
    """A scene system with its decoder, ready to `generate`.

    Args:
        system: "iscene", "scenegen", or "cuboid".
        preset: see the table above.
        decoder: "trellis1" (what the systems were published with) or "trellis2" (PBR materials).
        decoder_weights: folder or repository of the decoder; None is the system's own, or the published TRELLIS.2.
        resolution: of the trellis2 decoder: 512, 1024 or 1536.
        dtype: of the large networks; None is half precision on CUDA and float32 elsewhere.
        report: called with one line per network that is being loaded.

    Raises:
        InputError: an argument names nothing there is.
        WeightsError: weights are missing, damaged, or do not fit.
    """
    chosen = choose_preset(system, preset).preset
    if system == "cuboid":
        return CuboidSystem()
    if chosen == "mini":
        if decoder is not None or decoder_weights is not None:
            raise InputError("The mini preset has a decoder of its own; leave --decoder out.")
        return _load_mini(system, device)
    if decoder is not None and decoder not in DECODERS:
        raise InputError(f"Expected a decoder out of {', '.join(DECODERS)}, got '{decoder}'.")
    place = torch.device(device)
    stage = _load_stage(system, chosen, place, dtype, offline, report)
    return SceneGenerator(
        stage, _load_decoder(decoder or "trellis1", decoder_weights, stage, resolution, place, dtype, offline, report)
    )


def _load_stage(
    system: str, preset: str, device: torch.device, dtype: torch.dtype | None, offline: bool, report: Report | None
) -> StructureStage:
    source = _PUBLISHED[system][0] if preset == "published" else preset
    # VGGT's tokens, which SceneGen reads, are large for float16.
    half = torch.bfloat16 if system == "scenegen" else torch.float16
    precision = dtype or (half if device.type == "cuda" else torch.float32)
    if system == "scenegen":
        from scenewright.systems.scenegen.stage import SceneGenStage

        return SceneGenStage.from_pretrained(source, device=device, dtype=precision, offline=offline, report=report)
    from scenewright.systems.iscene.stage import ISceneStage

    return ISceneStage.from_pretrained(source, device=device, dtype=precision, offline=offline, report=report)


def _load_decoder(
    name: str,
    source: str | Path | None,
    stage: StructureStage,
    resolution: int | None,
    device: torch.device,
    dtype: torch.dtype | None,
    offline: bool,
    report: Report | None,
) -> ObjectDecoder:
    from scenewright.backbones.trellis2.weights import REPOSITORY as TRELLIS2_REPOSITORY
    from scenewright.systems.assembly.trellis1_decoder import Trellis1Decoder
    from scenewright.systems.assembly.trellis2_decoder import Trellis2Decoder

    if name == "trellis1":
        if resolution is not None:
            raise InputError("Only the trellis2 decoder has a choice of resolution; add --decoder trellis2.")
        half = torch.float16 if device.type == "cuda" else torch.float32
        return Trellis1Decoder.from_pretrained(
            source or stage.decoder_source, device=device, dtype=dtype or half, offline=offline, report=report
        )
    if source is None and is_local_source(stage.source):
        beside = Path(stage.source).expanduser() / "trellis2"
        source = beside if beside.is_dir() else None
    plans: dict[int, PlanName] = {512: "512", 1024: "1024_cascade", 1536: "1536_cascade"}
    if resolution is not None and resolution not in plans:
        raise InputError(f"Expected a resolution of 512, 1024 or 1536, got {resolution}.")
    return Trellis2Decoder.from_pretrained(
        source or TRELLIS2_REPOSITORY,
        plan=None if resolution is None else plans[resolution],
        device=device,
        dtype=dtype,
        offline=offline,
        report=report,
    )


def shipped_systems() -> tuple[str, ...]:
    """Systems whose mini weights ship with this installation."""
    if importlib.util.find_spec(f"{_MINI}.networks") is None:
        return ()
    networks = importlib.import_module(f"{_MINI}.networks")
    return tuple(system for system in _PUBLISHED if networks.has_weights(system))


def _load_mini(system: str, device: torch.device | str) -> SceneGenerator:
    return importlib.import_module(f"{_MINI}.system").mini_system(system, device=device)
