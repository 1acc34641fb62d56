"""Seconds that the stages of a run are expected to take, told before the run and shown beside its bar.

    stage_seconds(system, weights, block, device, objects=, dtype=) -> {stage: seconds}, in the order of the run

Facts of a system name its stages with what they cost: operations of the published networks, processor seconds of mini's
on the machine where they were measured. A block timed on this machine (`calibration`) turns both into its seconds.
"""

import torch

from scenewright.machine import available_cores
from scenewright.samplers.config import QUALITY_RATIO, Quality
from scenewright.systems.calibration import BLOCK_OPERATIONS, BlockSeconds
from scenewright.systems.registry import find_system

__all__ = ["REFERENCE", "START_S", "USUAL_FURNITURE", "stage_seconds"]

START_S = 2.8
"""Seconds of a command until its run begins: imports."""

USUAL_FURNITURE = 9
"""Pieces of furniture to expect in a room whose distances are known; without them none is found."""

REFERENCE = BlockSeconds(float32=0.42, bfloat16=0.22)
"""The block on the machine where mini's stages were measured; with it shares of a run are right on any machine."""


def stage_seconds(
    system: str,
    weights: str,
    block: BlockSeconds = REFERENCE,
    device: torch.device | str = "cpu",
    *,
    objects: int = 1,
    dtype: torch.dtype | None = None,
    preset: str | None = None,
    quality: Quality = "standard",
) -> dict[str, float]:
    """Expected seconds of every stage, nothing else running; empty where the system's costs are not known.

    Args:
        weights: as `loading.choose_weights` says.
        block: as timed on the device.
        objects: of the scene; of a capture, its chunks.
        dtype: of the large networks; None is half precision on CUDA and float32 elsewhere.
        quality: of the samplers.

    Raises:
        InputError: there is no such system.
    """
    spec, device = find_system(system).with_preset(preset), torch.device(device)
    is_mini = bool(spec.mini) and weights == "mini"
    if is_mini:
        pace = block.float32 / REFERENCE.float32
    else:
        precision = dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32)
        # Large networks use every core; blocks are timed on one.
        cores = available_cores() if device.type == "cpu" else 1
        pace = 1e12 * block.of(precision) / BLOCK_OPERATIONS / cores
    costs = spec.mini_costs if is_mini else spec.costs
    more = QUALITY_RATIO[quality] - 1
    shares = {cost.stage: 1 + more * cost.sampled * (cost.doubles or more < 0) for cost in costs}
    return {cost.stage: pace * (cost.fixed + objects * cost.per_object) * shares[cost.stage] for cost in costs}
