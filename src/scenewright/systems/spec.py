"""Facts of a scene system that need no network; commands, evaluation, training and lists derive from them.

A system is a folder here with a `spec.py`, and one line in `registry.py` (docs/extending.md). Code is named by
"module:attribute", so that reading a spec imports no network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from scenewright.weights.record import WeightsRecord

__all__ = [
    "MINI_OBJECT_COSTS",
    "TRELLIS1_COSTS",
    "PresetNeeds",
    "Published",
    "Reads",
    "Setting",
    "StageCost",
    "SystemSpec",
    "WorkingMemory",
]

Reads = Literal["masks", "panorama", "posed"]
"""Pictures with the masks of their objects; one equirectangular picture; pictures with their cameras."""

Setting = Literal[
    "decoder",
    "decoder_weights",
    "dtype",
    "fit_layout",
    "guidance",
    "max_faces",
    "max_memory_bytes",
    "quality",
    "resolution",
    "settle",
    "steps",
    "texture_size",
]
"""Settings of a run that not every system has a use for."""


@dataclass(frozen=True)
class Published:
    """Where a system's weights are published.

    Attributes:
        repository: on the hub.
        marker: a file that is in the hub's cache only where the weights are.
        download: size of everything a scene needs, for people.
    """

    repository: str
    marker: str
    download: str


@dataclass(frozen=True)
class WorkingMemory:
    """Bytes that generating takes at least beyond networks, in float32; a half precision takes half.

    Attributes:
        fixed: whatever the scene holds.
        per_object: of every object, where all are worked on together.
        holds_all_networks: False where each is loaded for its stage and let go.
    """

    fixed: int = 64 * 2**20
    per_object: int = 0
    holds_all_networks: bool = True

    def bytes(self, objects: int) -> int:
        """The amount for a number of objects."""
        return self.fixed + objects * self.per_object


@dataclass(frozen=True)
class StageCost:
    """The cost of one stage of a run, whatever the scene holds and for every object.

    The unit is 10^12 operations for published networks, and for mini's processor seconds where they were measured.
    `sampled` is the share that `--quality draft` halves, and that `best` doubles where it `doubles` it.
    """

    stage: str
    fixed: float
    per_object: float = 0.0
    sampled: float = 0.0
    doubles: bool = True


@dataclass(frozen=True)
class PresetNeeds:
    """Needs of a preset where they differ from the system's; the fields are those of `SystemSpec`.

    Attributes:
        networks: beyond those of the system, by name.
        costs, mini_costs: instead of the system's.
    """

    networks: tuple[str, ...] = ()
    mini_working: WorkingMemory | None = None
    costs: tuple[StageCost, ...] = ()
    mini_costs: tuple[StageCost, ...] = ()


TRELLIS1_COSTS = (
    StageCost("latent", 0, 100, 1),
    StageCost("decode", 0, 25),
    StageCost("finish", 0, 4),
    StageCost("place", 0, 0.2),
    StageCost("draw", 1),
)
"""A scene after its structures, by TRELLIS's published decoder on some 8,000 voxels. Estimated, never timed."""

MINI_OBJECT_COSTS = (
    StageCost("shape", 0, 0.27, 0.7, doubles=False),
    StageCost("texture", 0, 0.2),
    StageCost("finish", 0, 0.38),
    StageCost("place", 0.1, 0.4, 0.6, doubles=False),
    StageCost("draw", 0.95, 0.08),
)
"""A scene after its structures, with mini's latent stages. An EPYC core, scenes of 2, 4 and 6 objects."""


@dataclass(frozen=True)
class SystemSpec:
    """One way from views to a scene.

    Attributes:
        name: what users choose it by.
        summary: what it turns into what, in a few words.
        reads: what its views must have.
        open: "module:function" of a function (`loading.OpenOptions`) -> `System`; empty where this version cannot
            generate with the system yet.
        max_views: how many views it reads; None is any number.
        published: None for a system without networks.
        records: of all its published files, by name.
        networks: names of the records (also of backbones and encoders) that a scene needs.
        mini: as `open`, with the small weights that ship with the package; empty where there are none.
        weights_help: what `--weights` may be for a system without published weights.
        notice: a line for users about what the system is.
        takes: settings that change its scenes; a command refuses the others.
        mini_ignores: those of them that change nothing with the mini weights.
        presets: sets of options that `GenerateOptions.preset` may choose, by name.
        tasks: "module:function" of a function () -> `TaskKind` by the name that recipes give the task.
        working, mini_working: memory beyond the networks, of the published and the mini weights.
        costs, mini_costs: of the stages, in their order, as `Progress.stage` names them; "finish" is the finishing of
            every object. Empty where they are not known.
    """

    name: str
    summary: str
    reads: Reads
    open: str = ""
    max_views: int | None = 1
    published: Published | None = None
    records: Mapping[str, WeightsRecord] = field(default_factory=dict)
    networks: tuple[str, ...] = ()
    mini: str = ""
    weights_help: str = ""
    notice: str = ""
    takes: frozenset[Setting] = frozenset(get_args(Setting))
    presets: Mapping[str, PresetNeeds] = field(default_factory=dict)
    mini_ignores: frozenset[Setting] = frozenset({"decoder", "decoder_weights", "dtype", "resolution"})
    tasks: Mapping[str, str] = field(default_factory=dict)
    working: WorkingMemory = WorkingMemory()
    mini_working: WorkingMemory = WorkingMemory()
    costs: tuple[StageCost, ...] = ()
    mini_costs: tuple[StageCost, ...] = ()

    def with_preset(self, preset: str | None) -> "SystemSpec":
        """The facts of a run with a preset; those of any other word are the system's own."""
        needs = self.presets.get(preset or "", PresetNeeds())
        return replace(
            self,
            networks=(*self.networks, *needs.networks),
            mini_working=needs.mini_working or self.mini_working,
            costs=needs.costs or self.costs,
            mini_costs=needs.mini_costs or self.mini_costs,
        )
