"""The memory that a system needs, estimated before any network is loaded; every run with a ceiling is checked with it.

    memory_plan(system, weights, ...) -> MemoryPlan -> check_ceiling(plan, ceiling)

A lower estimate: program, networks, and the work that cannot be split. The systems know more once they have seen their
inputs, and then split or refuse (`assembly.memory`).
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from scenewright.backbones.registry import BACKBONES, backbone
from scenewright.encoders.records import RECORDS as ENCODERS
from scenewright.encoders.records import VGGT_1B
from scenewright.errors import OutOfMemoryBudgetError
from scenewright.machine import host_memory, memory_in_use
from scenewright.systems.assembly.memory import readable_bytes
from scenewright.systems.calibration import chosen_dtype
from scenewright.systems.mini.networks import weight_files
from scenewright.systems.registry import find_system
from scenewright.weights.hub import is_local_source
from scenewright.weights.record import WeightsRecord

__all__ = ["MemoryPlan", "check_ceiling", "check_held", "fitting_dtype", "memory_plan", "needed_records", "room_on"]

PROGRAM_BYTES = 400 * 2**20
"""Python, torch and compiled kernels in a process on the CPU, below what was measured."""


LEAST_WORK_BYTES = 64 * 2**20
"""Memory that any scene takes."""


@dataclass(frozen=True)
class MemoryPlan:
    """Needs of a run on its device, in bytes.

    Attributes:
        label: the system, for people.
        objects: how many the estimate is for.
        program: of the process itself; 0 beside a GPU, which holds none of it.
        networks: all that are held at a time.
        work: at least, beyond them.
        unknown: names of networks whose size is not published; they are not among the figures.
        is_in_turn: the networks of structures and those of their decoder are not held together.
    """

    label: str
    objects: int
    program: int
    networks: int
    work: int
    unknown: tuple[str, ...] = ()
    is_in_turn: bool = False

    @property
    def total(self) -> int:
        return self.program + self.networks + self.work


def memory_plan(
    system: str,
    weights: str,
    device: torch.device | str = "cpu",
    *,
    objects: int = 1,
    dtype: torch.dtype | None = None,
    decoder: str | None = None,
    preset: str | None = None,
    room: int | None = None,
) -> MemoryPlan:
    """The least memory of a run.

    Where it is above `room`, and structures and objects have networks of their own, these are taken to be read in turn.

    Args:
        weights: as `loading.choose_weights` says.
        dtype: of the large networks; None is half precision on CUDA and float32 elsewhere.
        decoder: name of a backbone; None is what the system was published with.
        room: bytes that must not be exceeded; None is any number.

    Raises:
        InputError: there is no such system or decoder.
    """
    spec, device = find_system(system).with_preset(preset), torch.device(device)
    is_mini = bool(spec.mini) and weights == "mini"
    itemsize = 4 if is_mini else _itemsize(device, dtype)
    records = [] if is_mini else needed_records(system, decoder, preset)
    working = spec.mini_working if is_mini else spec.working
    if is_mini:
        sizes = [2 * path.stat().st_size for path in weight_files(system)]  # fp16 in files
    else:
        sizes = [_stored_bytes(record, itemsize) for record in records]
    networks = in_turn = sum(sizes) if working.holds_all_networks else max(sizes, default=0)
    if not is_mini and spec.reads == "masks" and records:
        networks, in_turn = _held_and_in_turn(records, decoder, itemsize)
    work = working.bytes(objects) * max(itemsize, 2) // 4  # eight bits are for weights alone
    is_own = bool(records) and weights != "published" and is_local_source(weights)
    own = _largest_file(Path(weights).expanduser()) if is_own else 0
    if own:
        # Somebody's own networks: at least the largest of them, kept in float32 or as they are; work goes with size.
        own = own * itemsize // 4
        work = max(LEAST_WORK_BYTES, int(work * min(1.0, own / max(sizes))))
    program = PROGRAM_BYTES if device.type == "cpu" else 0
    is_in_turn = not own and room is not None and in_turn < networks and program + networks + work > room
    return MemoryPlan(
        label=f"{system} with the mini weights" if is_mini else system,
        objects=objects,
        program=program,
        networks=own or (in_turn if is_in_turn else networks),
        work=work,
        is_in_turn=is_in_turn,
        unknown=() if own else tuple(record.name for record in records if record.num_parameters is None),
    )


def fitting_dtype(
    system: str,
    weights: str,
    device: torch.device,
    *,
    max_memory_bytes: int | None = None,
    decoder: str | None = None,
) -> torch.dtype | None:
    """The precision of the large networks where it is left open; None is what weights are published for.

    On a CPU it is the fastest one (`calibration.chosen_dtype`) if the least memory of a run fits then, else bfloat16,
    in turn where it must be, else weights in eight bits.

    Args:
        max_memory_bytes: what must not be exceeded; None is what is free on this machine now.

    Raises:
        InputError: there is no such system or decoder.
    """
    fastest = chosen_dtype("auto", device)
    room = room_on(device, max_memory_bytes)
    if device.type != "cpu" or room is None:
        return fastest
    for dtype, may_take_turns in ((fastest, False), (torch.bfloat16, True), (torch.int8, True)):
        given = room if may_take_turns else None
        if memory_plan(system, weights, device, dtype=dtype, decoder=decoder, room=given).total <= room:
            return dtype
    return fastest


def room_on(device: torch.device, max_memory_bytes: int | None) -> int | None:
    """Bytes that a run may take: its ceiling, or without one what is free on the machine now, where that is known."""
    return max_memory_bytes or (host_memory()[1] if device.type == "cpu" else None)


def _largest_file(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.suffix in (".safetensors", ".pt", ".pth", ".ckpt", ".bin"))
    return max((path.stat().st_size for path in files if path.is_file()), default=0)


def needed_records(system: str, decoder: str | None = None, preset: str | None = None) -> list[WeightsRecord]:
    """Records of the published networks that a scene needs.

    Raises:
        InputError: there is no such system or decoder.
    """
    spec = find_system(system).with_preset(preset)
    names = list(spec.networks)
    if decoder is not None and decoder != "trellis1":
        mine = backbone("trellis1").networks
        theirs = [name for name in backbone(decoder).networks if not name.endswith("/structure_flow")]
        # Encoders and the decoder of structures are the system's own; the rest gives way to the other decoder's.
        kept = [name for name in names if name not in mine or not name.startswith("trellis1/") or name in theirs]
        names = [*kept, *theirs]
    known = {record.name: record for record in ENCODERS}
    for own in (*(base.records for base in BACKBONES), spec.records):
        known |= own
    return [known[name] for name in dict.fromkeys(names)]


def check_ceiling(plan: MemoryPlan, ceiling: int | None) -> None:
    """Before networks are loaded.

    Raises:
        OutOfMemoryBudgetError: the plan does not fit the ceiling.
    """
    if ceiling is not None and plan.total > ceiling:
        raise OutOfMemoryBudgetError(_refusal(plan.label, plan.objects, plan.total, ceiling))


def check_held(
    label: str, device: torch.device | str, ceiling: int | None, work: int = LEAST_WORK_BYTES, *, objects: int = 1
) -> None:
    """After networks are loaded: what is in use now, and the work to come.

    Raises:
        OutOfMemoryBudgetError: they do not fit the ceiling.
    """
    if ceiling is not None and (needed := memory_in_use(device) + work) > ceiling:
        raise OutOfMemoryBudgetError(_refusal(label, objects, needed, ceiling))


def _refusal(label: str, objects: int, needed: int, ceiling: int) -> str:
    count = f"{objects} object{'' if objects == 1 else 's'}"
    return (
        f"{label} needs at least {readable_bytes(needed)} for {count}, more than the {readable_bytes(ceiling)} "
        "of --max-memory; raise the ceiling, or give fewer masks."
    )


def _held_and_in_turn(records: list[WeightsRecord], decoder: str | None, itemsize: int) -> tuple[int, int]:
    """Bytes of a mask system's networks: of all that are held together, and of structures and decoder in turn."""
    base = backbone(decoder or "trellis1")
    own = [record for record in records if record.name.startswith(f"{base.name}/") and "structure" not in record.name]
    sizes = [_stored_bytes(record, itemsize) for record in own]
    # The encoder of a decoder that has one of its own stays with it.
    encoders = [
        record for record in records if record in ENCODERS and record.name in base.networks and base.name != "trellis1"
    ]
    objects = max(sizes, default=0) if base.loans else sum(sizes)
    objects += sum(_stored_bytes(record, itemsize) for record in encoders)
    structures = sum(_stored_bytes(record, itemsize) for record in records if record not in (*own, *encoders))
    return structures + objects, max(structures, objects)


def _stored_bytes(record: WeightsRecord, itemsize: int) -> int:
    """Encoders stay in float32; VGGT is kept in eight bits where the other networks are. 0 where nothing is known."""
    if record in ENCODERS:
        itemsize = 1 if itemsize == 1 and record is VGGT_1B else 4
    return (record.num_parameters or 0) * itemsize


def _itemsize(device: torch.device, dtype: torch.dtype | None) -> int:
    return dtype.itemsize if dtype is not None else (2 if device.type == "cuda" else 4)
