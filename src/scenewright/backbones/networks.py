"""Published networks, asked for by typed keys: how long each one stays in memory is visible where it is used.

    networks = trellis2_networks(WeightsSource("microsoft/TRELLIS.2-4B"), device="cuda")
    with networks.loaned(shape_flow(512)) as flow:       # a LatentFlow, loaded here
        ...
                                                         # and let go of here

A source holds a pipeline file and, for every network that it names, `<stem>.json` (class and sizes) and
`<stem>.safetensors`. A name that is not a file of the source reads `<owner>/<repository>/<stem>`: it belongs to another
repository. Files of the hub are compared with the published sizes and hashes; a local folder may hold other weights of
the same layout, which are loaded strictly but have nothing to be compared with.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import nn

from scenewright.errors import WeightsError
from scenewright.files import checked, reading
from scenewright.nn.precision import cast_torso
from scenewright.samplers.config import SamplerConfig
from scenewright.weights.config import read_config, read_pipeline_arguments
from scenewright.weights.keymap import IDENTITY, KeyMap
from scenewright.weights.load import load_weights
from scenewright.weights.record import LatentStatistics, WeightsRecord
from scenewright.weights.source import WeightsSource

__all__ = ["Layout", "NetworkKey", "PublishedNetworks"]

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class NetworkKey(Generic[Network]):
    """A network's name in a pipeline file, and the class that stands for it here."""

    name: str
    kind: type[Network]


@runtime_checkable
class _HasTorso(Protocol):
    torso: tuple[nn.Module, ...]


@dataclass(frozen=True)
class Layout:
    """Differences between the publishers' files.

    Attributes:
        kind: what its pipelines are called in messages.
        image_encoder: reads the name of the encoder from a pipeline's arguments.
        samplers, statistics: keys in the pipeline file, by our name of the stage or latent.
        read_sampler: settings of one sampler from their published form.
        build: a network from the published class name and constructor arguments.
        keymaps: renamed parameters by published class; most names are kept.
        ignore: names that files may hold and no network needs.
        records: of the published files.
        half_dtype: precision of the repeated blocks on CUDA, by published class.
    """

    kind: str
    image_encoder: Callable[[Mapping[str, Any]], str]
    samplers: Mapping[str, str]
    statistics: Mapping[str, str]
    read_sampler: Callable[[Mapping[str, Any]], SamplerConfig]
    build: Callable[[str, Mapping[str, Any]], nn.Module]
    records: Collection[WeightsRecord]
    half_dtype: Callable[[str], torch.dtype]
    keymaps: Mapping[str, KeyMap]
    ignore: tuple[str, ...] = ()


class PublishedNetworks:
    """The networks that a pipeline file names, with the settings published beside them.

    Args:
        source: of the files, in the published layout.
        device: where networks are loaded to.
        dtype: of the repeated blocks; None is the published half precision on CUDA and float32 elsewhere. The rest
            stays fp32 as published.
        keep_loaded: keep loaned networks in memory for the next loan.

    Raises:
        WeightsError: the pipeline file is missing, unreadable, or lacks a part.
    """

    def __init__(
        self,
        source: WeightsSource,
        layout: Layout,
        *,
        pipeline: str = "pipeline.json",
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        keep_loaded: bool = False,
    ) -> None:
        self.source, self.device = source, torch.device(device)
        self._layout, self._pipeline, self._dtype, self._keep_loaded = layout, pipeline, dtype, keep_loaded
        self._kept: dict[str, nn.Module] = {}
        self._files: dict[str, Path] = {}
        parts = {"models", "image_cond_model", *layout.statistics.values()}
        self._file = source.find(pipeline)
        self.arguments = read_pipeline_arguments(self._file, parts, layout.kind)
        with self._reading():
            self.image_encoder = layout.image_encoder(self.arguments)
            if not isinstance(self.image_encoder, str):
                raise ValueError("it names no image encoder")

    def _reading(self) -> AbstractContextManager[None]:
        """The border around what the pipeline file says."""
        return reading(self._file, f"the description of {self._layout.kind}", "download it again", error=WeightsError)

    def sampler(self, stage: str) -> SamplerConfig:
        """The published settings of a stage."""
        key = self._layout.samplers[stage]
        if key not in self.arguments:
            raise WeightsError(f"{self._pipeline} of '{self.source}' has no sampler for the {stage} stage.")
        with self._reading():
            return checked(vars(self._layout.read_sampler(self.arguments[key])), SamplerConfig)

    def statistics(self, latent: str) -> LatentStatistics:
        """Mean and deviation that a latent is normalised with."""
        with self._reading():
            return checked(self.arguments[self._layout.statistics[latent]], LatentStatistics)

    @contextmanager
    def loaned(self, key: NetworkKey[Network]) -> Iterator[Network]:
        """The network for the time of the `with` block; see `load` for errors.

        Whoever keeps a reference beyond the block keeps the network in memory.
        """
        kept = self._kept.get(key.name)
        network = cast(Network, kept) if kept is not None else self.load(key)
        if self._keep_loaded:
            self._kept[key.name] = network
        yield network

    def load(self, key: NetworkKey[Network]) -> Network:
        """The network, in evaluation mode; it belongs to the caller.

        Raises:
            WeightsError: the pipeline does not name it, it is of another class, or its files are missing, damaged, or
                do not fit.
        """
        self.source.report(f"Loading {key.name}")
        source, stem = self._located(key)
        config = source.find(f"{stem}.json")
        class_name, arguments = read_config(config)
        layout = self._layout
        dtype = self._dtype or (layout.half_dtype(class_name) if self.device.type == "cuda" else torch.float32)

        def build() -> nn.Module:
            with reading(
                source.find(f"{stem}.json"), "a network's configuration", "download it again", error=WeightsError
            ):
                network = layout.build(class_name, arguments)
            assert isinstance(network, _HasTorso), class_name
            cast_torso(network.torso, dtype)
            return network

        keymap = layout.keymaps.get(class_name, IDENTITY)
        loaded = load_weights(build, self.weights_file(key), device=self.device, keymap=keymap, ignore=layout.ignore)
        if not isinstance(loaded, key.kind):
            raise WeightsError(
                f"'{key.name}' of '{self.source}' is a {type(loaded).__name__}, expected {key.kind.__name__}."
            )
        return loaded

    def stem(self, key: NetworkKey[Any]) -> str:
        """A network's name in the pipeline file: its files without their endings.

        Raises:
            WeightsError: the pipeline does not name it.
        """
        models = self.arguments["models"]
        if key.name not in models:
            raise WeightsError(f"{self._pipeline} of '{self.source}' names no '{key.name}'.")
        return str(models[key.name])

    def weights_file(self, key: NetworkKey[Any]) -> Path:
        """Where the weights of a network are on this machine, verified where they are published; downloads them."""
        if key.name not in self._files:
            source, stem = self._located(key)
            self._files[key.name] = source.weights(f"{stem}.safetensors", self._layout.records)
        return self._files[key.name]

    def _located(self, key: NetworkKey[Any]) -> tuple[WeightsSource, str]:
        """Repository or folder, and stem inside it, of a network."""
        entry = self.stem(key)
        owner, _, rest = entry.partition("/")
        repository, _, stem = rest.partition("/")
        is_here = self.source.holds(f"{entry}.json") if self.source.is_local else entry.startswith("ckpts/")
        if is_here or not stem:
            return self.source, entry
        place = f"{owner}/{repository}"
        return self.source.named_by_file(place, self._layout.records, f"'{self._file}'"), stem
