"""InSpace's networks from a local folder or the hub, strictly, with the base networks of TRELLIS.2 they need.

A source holds `<folder>/ckpts/*.pt` for each network, or the same under `ckpts/` (the two layouts that were published).
Among the averaged weights (`*_ema0.9999_step0000000.pt`) the highest step is taken; weights that are not averaged only
when their step is named. Sizes are published nowhere beside them: a folder of other weights says its own in
`inspace.json`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from torch import nn

from scenewright.backbones.structure_vae import StructureEncoder, structure_vae_config
from scenewright.backbones.trellis1.weights import RECORDS
from scenewright.backbones.trellis2.config import FlowConfig
from scenewright.backbones.trellis2.structure_flow import StructureFlow
from scenewright.errors import WeightsError
from scenewright.files import read_json, reading
from scenewright.nn.precision import cast_torso
from scenewright.systems.inspace.box_network import BoxNetwork, BoxNetworkConfig
from scenewright.systems.inspace.config import BOX_NETWORK, COARSE_FLOW, SHAPE_FLOW, TEXTURE_FLOW
from scenewright.systems.inspace.detail_flow import DetailFlow
from scenewright.systems.inspace.weights import FOLDERS, REPOSITORY
from scenewright.weights.config import config_from_json
from scenewright.weights.hub import fetch, find_file, list_files
from scenewright.weights.load import load_weights
from scenewright.weights.source import WeightsSource

__all__ = ["InSpaceSizes", "InSpaceWeights", "choose_checkpoint", "read_sizes"]

SIZES_FILE = "inspace.json"
_ENCODER = "structure_encoder"
_CHECKPOINT = re.compile(r"(?P<stem>.*?)(?P<ema>_ema0\.9999)?_step(?P<step>\d+)\.(?:pt|safetensors)")


@dataclass(frozen=True)
class InSpaceSizes:
    """Sizes of the four networks; the published ones are the defaults."""

    structure_flow: FlowConfig = field(default_factory=lambda: COARSE_FLOW)
    shape_flow: FlowConfig = field(default_factory=lambda: SHAPE_FLOW)
    texture_flow: FlowConfig = field(default_factory=lambda: TEXTURE_FLOW)
    box_network: BoxNetworkConfig = field(default_factory=lambda: BOX_NETWORK)


@dataclass(frozen=True)
class InSpaceWeights:
    """Where the networks come from; each is loaded when asked for and belongs to the caller.

    Attributes:
        steps: training step to take instead of the highest, by network.
        dtype: of the blocks of the flows; the rest stays fp32.
    """

    source: str = REPOSITORY
    sizes: InSpaceSizes = field(default_factory=InSpaceSizes)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    steps: dict[str, int] = field(default_factory=dict)
    offline: bool = False

    def file(self, name: str) -> Path:
        """The weight file of a network on this machine, downloaded if need be; see `WeightsSource.weights`.

        Raises:
            WeightsError: there is none, or it changed since it was first used.
        """
        files = list_files(self.source, offline=self.offline)
        chosen = choose_checkpoint(files, FOLDERS[name], self.steps.get(name), self.source)
        return WeightsSource(self.source, self.offline).weights(chosen)

    def structure_flow(self) -> StructureFlow:
        """The coarse flow."""
        return self._flow("structure_flow", lambda: StructureFlow(self.sizes.structure_flow), ("rope_phases",))

    def shape_flow(self) -> DetailFlow:
        """The flow of shape latents."""
        return self._flow("shape_flow", lambda: DetailFlow(self.sizes.shape_flow))

    def texture_flow(self) -> DetailFlow:
        """The flow of texture latents."""
        return self._flow("texture_flow", lambda: DetailFlow(self.sizes.texture_flow))

    def box_network(self) -> BoxNetwork:
        """The box network."""
        return load_weights(lambda: BoxNetwork(self.sizes.box_network), self.file("box_network"), device=self.device)

    def structure_encoder(self) -> StructureEncoder:
        """The encoder of partial geometry: TRELLIS's, or one that a local source holds itself.

        Raises:
            WeightsError: it cannot be found or loaded.
        """
        record = RECORDS["trellis1/structure_encoder"]
        stored = WeightsSource(self.source, self.offline).beside(_ENCODER)
        arguments, path = stored or (record.arguments, fetch(record, offline=self.offline))
        return load_weights(lambda: StructureEncoder(structure_vae_config(arguments)), path, device=self.device)

    def _flow(self, name: str, build: Callable[[], Any], ignore: tuple[str, ...] = ()) -> Any:
        def built() -> nn.Module:
            network = build()
            cast_torso(network.torso, self.dtype)
            return network

        return load_weights(built, self.file(name), device=self.device, ignore=ignore)


def choose_checkpoint(files: list[str], folder: str, step: int | None = None, source: str = "") -> str:
    """The weight file to load out of a repository's files.

    Args:
        folder: name of the network's folder.
        step: take this training step; its averaged weights if there are any. None takes the highest averaged step.

    Raises:
        WeightsError: there is no such file.
    """
    found: list[tuple[bool, int, str]] = []
    for file in files:
        path = PurePosixPath(file)
        match = _CHECKPOINT.fullmatch(path.name)
        if match and path.parts[-3:-1] == (folder, "ckpts"):
            found.append((match["ema"] is not None, int(match["step"]), file))
    usable = [entry for entry in found if (entry[0] if step is None else entry[1] == step)]
    if not usable:
        wanted = "averaged weights (*_ema0.9999_step*.pt)" if step is None else f"weights of step {step}"
        steps = ", ".join(str(number) for number in sorted({entry[1] for entry in found})) or "none"
        raise WeightsError(f"Expected {wanted} in '{folder}/ckpts' of '{source}', which holds steps: {steps}.")
    return max(usable)[2]


def read_sizes(source: str | Path, *, offline: bool = False) -> InSpaceSizes:
    """The sizes that a source states in `inspace.json`, or the published ones.

    Raises:
        WeightsError: the file is damaged.
        InputError: it names unknown sizes.
    """
    if SIZES_FILE not in list_files(source, offline=offline):
        return InSpaceSizes()
    path = find_file(source, SIZES_FILE, offline=offline)
    with reading(path, "a file of sizes of InSpace's networks", "download it again", error=WeightsError):
        return config_from_json(InSpaceSizes, read_json(path, dict))
