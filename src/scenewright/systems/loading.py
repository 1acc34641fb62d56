"""Scene systems by name, ready to generate, with the weights and decoder of choice on a device.

| name | taken from |
|---|---|
| `published` | the authors' repository (cached, else downloaded) |
| `mini` | what ships with this package, where it does |
| a folder or `owner/repository` | that, in the published layout |
| None | published weights if they are on this machine already, else mini |
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from scenewright.backbones.registry import backbone
from scenewright.backbones.spec import imported
from scenewright.encoders.records import CUT_OUT, SMALL_DISTANCE
from scenewright.errors import InputError, WeightsError
from scenewright.progress import SILENT, Progress
from scenewright.systems import registry
from scenewright.systems.catalogue import refuse_uncleared
from scenewright.systems.spec import SystemSpec
from scenewright.systems.system import System
from scenewright.weights.hub import cached_file
from scenewright.weights.source import WeightsSource

__all__ = [
    "Chosen",
    "OpenOptions",
    "choose_weights",
    "load",
    "refuse_ignored",
    "refuse_steps_and_quality",
    "refuse_uncleared_choice",
    "shipped_systems",
]


# Settings whose option on the command line has another name.
_OPTIONS = {"max_faces": "--faces", "max_memory_bytes": "--max-memory"}


@dataclass(frozen=True)
class OpenOptions:
    """Choices that open a system.

    Attributes:
        weights: a folder or repository; the system's name where it has no weights and none are named.
        decoder: name of a backbone; None is what the system was published with.
        decoder_weights: folder or repository of the decoder; None is the system's own, or the published one.
        resolution: of the decoder, where it has a choice.
        dtype: of the large networks; None is half precision on CUDA and float32 elsewhere.
        in_turn: hold the networks of structures or those of the decoder, and read them anew for every scene.
        progress: what is being loaded is a stage.
        scenes: the test scenes that the system is opened for, if any; what it needs may lie beside them.
        work: a folder to keep things in, if any.
        depth_model: folder or repository of the network that estimates a panorama's distances; None estimates none.
    """

    weights: str
    decoder: str | None = None
    decoder_weights: str | Path | None = None
    resolution: int | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype | None = None
    in_turn: bool = False
    offline: bool = False
    progress: Progress = SILENT
    scenes: Path | None = None
    work: Path | None = None
    depth_model: str | None = None

    def half(self, dtype: torch.dtype) -> torch.dtype:
        """`dtype`, a half precision, on CUDA; float32 elsewhere."""
        return dtype if self.device.type == "cuda" else torch.float32

    @property
    def source(self) -> WeightsSource:
        """The place of the weights; what is being loaded is reported as a stage."""

        def show(line: str) -> None:
            self.progress.stage(line)

        return WeightsSource(self.weights, self.offline, show)


@dataclass(frozen=True)
class Chosen:
    """`weights` is what `load` takes; `notice` is one line for the user, or empty."""

    weights: str
    notice: str = ""


def choose_weights(system: str, weights: str | None = None) -> Chosen:
    """The weights that will be used, and what the user should know about the choice.

    Raises:
        InputError: there is no such system.
        WeightsError: no weights are here and the caller did not name any.
    """
    spec = registry.find_system(system)
    if spec.published is None:
        if weights in (None, "mini") and _has_mini(spec):
            better = f"--weights with {spec.weights_help}"
            return Chosen("mini", f"Using the mini weights, small ones of our own; better: {better}.")
        return Chosen(weights or spec.name, spec.notice)
    fetch = f"--weights published (downloads {spec.published.download} from {spec.published.repository} and its parts)"
    mini = Chosen("mini", f"Using the mini weights, small ones of our own; better: {fetch}.")
    if weights == "mini" and not _has_mini(spec):
        raise WeightsError(f"No mini weights for '{system}' ship with this version; use {fetch}, or a folder.")
    if weights is not None:
        return mini if weights == "mini" else Chosen(weights)
    if cached_file(spec.published.repository, spec.published.marker) is not None:
        return Chosen("published")
    if _has_mini(spec):
        return mini
    choices = [fetch, "--weights FOLDER"]
    if spec.reads == "masks":
        choices.append("--system cuboid, the baseline that needs none")
    raise WeightsError(
        f"There are no weights for '{system}' on this machine, and none ship with this version: use "
        f"{', '.join(choices[:-1])}, or {choices[-1]}."
    )


def load(
    system: str = registry.DEFAULT_SYSTEM,
    weights: str | None = None,
    *,
    decoder: str | None = None,
    decoder_weights: str | Path | None = None,
    resolution: int | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    in_turn: bool = False,
    offline: bool = False,
    progress: Progress = SILENT,
    scenes: Path | None = None,
    work: Path | None = None,
    depth_model: str | None = None,
    commercial: bool = False,
) -> System:
    """A scene system with its decoder, ready to `generate`.

    Args:
        system: one of `registry.SPECS`.
        weights: see the table above.
        decoder: "trellis1" (what I-Scene and SceneGen were published with) or "trellis2" (PBR materials).
        decoder_weights, resolution, dtype, in_turn, progress, scenes, work, depth_model: see `OpenOptions`.
        commercial: refuse weights that are not cleared for commercial use.

    Raises:
        InputError: an argument names nothing there is, or weights are not cleared.
        WeightsError: weights are missing, damaged, or do not fit.
    """
    spec, chosen = registry.find_system(system), choose_weights(system, weights).weights
    place = spec.published.repository if spec.published is not None and chosen == "published" else chosen
    if commercial:
        refuse_uncleared_choice(system, weights, decoder=decoder, places=(decoder_weights, depth_model))
    options = OpenOptions(
        place,
        decoder=decoder,
        decoder_weights=decoder_weights,
        resolution=resolution,
        device=torch.device(device),
        dtype=dtype,
        in_turn=in_turn,
        offline=offline,
        progress=progress,
        scenes=scenes,
        work=work,
        depth_model=depth_model,
    )
    return imported(spec.mini if spec.mini and chosen == "mini" else spec.open)(options)


def refuse_uncleared_choice(
    system: str,
    weights: str | None = None,
    *,
    decoder: str | None = None,
    places: Iterable[str | Path | None] = (),
) -> None:
    """Refuses a choice of weights that is not known to be free for commercial use.

    Args:
        system, weights, decoder: see `load`.
        places: folders and repositories of further weights.

    Raises:
        InputError: some are not cleared; all are named, with their licences.
    """
    spec, chosen = registry.find_system(system), choose_weights(system, weights).weights
    given = [place for place in places if place and place not in (CUT_OUT, SMALL_DISTANCE)]
    if spec.published is None or (spec.mini and chosen == "mini"):
        # Systems without networks, and what was trained here on material that is free for any use.
        refuse_uncleared((), given)
        return
    networks = (*spec.networks, *(backbone(decoder).networks if decoder else ()))
    refuse_uncleared(networks, given if chosen == "published" else [chosen, *given])


def refuse_ignored(system: str, weights: str, settings: Mapping[str, object]) -> None:
    """Refuses a setting that would change nothing.

    Args:
        weights: as `choose_weights` says.
        settings: values by the names of `spec.Setting`; None was not given.

    Raises:
        InputError: the system, or its mini weights, have no use for a setting that was given.
    """
    spec = registry.find_system(system)
    takes = spec.takes - spec.mini_ignores if spec.mini and weights == "mini" else spec.takes
    for name, value in settings.items():
        if value is not None and name not in takes:
            label = f"{system} with the mini weights" if name in spec.takes else system
            raise InputError(
                f"{label} has no use for {_OPTIONS.get(name, '--' + name.replace('_', '-'))}; leave it out."
            )


def refuse_steps_and_quality(steps: int | None, quality: str | None) -> None:
    """
    Raises:
        InputError: both are given, though a quality is a number of steps.
    """
    if steps is not None and quality is not None:
        raise InputError(f"--quality {quality} chooses the steps; leave out either it or --steps {steps}.")


def shipped_systems() -> tuple[str, ...]:
    """Systems whose mini weights ship with this installation."""
    return tuple(spec.name for spec in registry.usable_systems() if _has_mini(spec))


def _has_mini(spec: SystemSpec) -> bool:
    from scenewright.systems.mini.networks import has_weights

    return bool(spec.mini) and has_weights(spec.name)
