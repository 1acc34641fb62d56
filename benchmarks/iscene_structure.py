"""Cost of I-Scene's structure stage against the number of objects, with full-size random weights.

    uv run python -m benchmarks iscene_structure [--device cuda] [--dtype bfloat16] [--objects 1 2 4 8 12] [--steps 2]

Three ways to sample the same objects:

    ours        the scene once, objects against it; conditions projected once, zero conditions as constants
    slots       every slot of every object as published (2 N rows), zero conditions attended to
    one row     one picture alone through the plain backbone, with the same shortcuts: what "linear in N" is measured by

Slope is (ours(N) - ours(first N)) / (N - first N) over one row; the target is at most 1.15. Objects are given noise of
their own, so that the saving of the first step, one of 44 evaluations in a published run, does not flatter short runs.

--count counts the operations of matrix products and attention without running anything: what the algorithm saves,
whatever the machine. The table is the same, with 10^12 operations in place of seconds.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from tests.support.iscene_published import conditions_from_slots
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import Report, alternate
from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.nn.precision import cast_torso
from scenewright.samplers.config import SamplerConfig
from scenewright.samplers.euler import euler
from scenewright.samplers.guidance import guided
from scenewright.samplers.schedule import rescaled_times
from scenewright.systems.iscene.config import SceneContextConfig
from scenewright.systems.iscene.sampling import sample_structure
from scenewright.systems.iscene.structure_flow import SceneContextFlow

CONTEXT_TOKENS = 1374


def sampled(run, cond, uncond, noise: Tensor, config: SamplerConfig) -> Tensor:
    """Guided sampling of independent rows; conditions are tokens, their projection, or None."""

    def given(tokens):
        return lambda x, t, step: run(x, torch.full((len(x),), 1000 * t, device=x.device), tokens)

    velocity = guided(given(cond), given(uncond), config.guidance_strength, config.guidance_interval)
    return euler(velocity, noise, rescaled_times(config.steps, config.rescale_t))


def operations(calls: list[Callable[[], object]]) -> list[float]:
    """10^12 floating-point operations of each call."""
    counts = []
    for call in calls:
        with FlopCounterMode(display=False) as counter:
            call()
        counts.append(counter.get_total_flops() / 1e12)
    return counts


QUICK = {"objects": (1, 2), "blocks": 1, "width": 64, "steps": 1, "slots_up_to": 1}


@torch.no_grad()
def section(
    report: Report,
    *,
    device: str = "cpu",
    dtype: str = "float32",
    objects: tuple[int, ...] = (1, 2, 4),
    blocks: int = 5,
    width: int = 1024,
    steps: int = 1,
    repeats: int = 1,
    slots_up_to: int = 2,
    canonical: bool = False,
    count: bool = False,
) -> None:
    """Prints a row for each number of objects.

    `slots_up_to` is the largest for which the published path is run, `canonical` is for three slots, and `count` counts
    operations instead of taking time.
    """
    where = torch.device("meta" if count else device)
    sizes = StructureFlowConfig(num_blocks=blocks, model_channels=width, num_heads=width // 64)
    torch.manual_seed(0)
    num_context = max(1, round(blocks * 5 / 24))
    with where:
        flow = SceneContextFlow(SceneContextConfig(sizes, num_context, canonical))
    flow.initialize_weights()
    flow.eval().requires_grad_(False)
    cast_torso(flow.torso, getattr(torch, dtype))
    slots, config = flow.scene_config.num_slots, SamplerConfig(steps=steps, guidance_strength=3.0)
    noise = torch.randn(slots, sizes.in_channels, *[sizes.resolution] * 3, device=where)
    guided_steps = sum(0.5 <= t <= 1 for t in rescaled_times(config.steps, config.rescale_t)[:-1])
    counted = "; 10^12 operations in place of seconds" if count else ""
    report(f"{num_context} of {blocks} blocks read the scene, {slots} slots, {guided_steps} guided steps{counted}.")
    shares = "slots / ours", "one row s", "ours / (N rows)", "slope per object / one row"
    report.table("objects", "ours s", "slots s", *shares)
    first: tuple[int, float] | None = None
    for number in objects:
        cond = torch.randn(number, slots, CONTEXT_TOKENS, sizes.cond_channels, device=where)
        cond[:, 1] = cond[:1, 1]
        rows = noise.expand(number, *noise.shape)
        own = torch.cat([rows[:, :1], rows[:, 2:]], 1)
        conditions = conditions_from_slots(cond)
        calls: list[Callable[[], object]] = [
            partial(sample_structure, flow, conditions, noise, config, object_noise=own),
            lambda: sampled(flow, flow.project_context(conditions.scene[None]), None, noise[:1], config),
        ]
        if number <= slots_up_to:
            calls.append(lambda: sampled(flow.forward_slots, cond, torch.zeros_like(cond), rows, config))
        taken = operations(calls) if count else alternate(calls, repeats, warmup=int(where.type != "cpu"))
        ours, row, plain = (*taken, None)[:3]
        slots_s = ("", "") if plain is None else (f"{plain:.2f}", f"{plain / ours:.2f}")
        slope = float("nan") if first is None else (ours - first[1]) / (number - first[0]) / row
        first = first or (number, ours)
        shares = f"{ours / number / row:.2f}", "" if math.isnan(slope) else f"{slope:.2f}"
        report.row(number, f"{ours:.2f}", *slots_s, f"{row:.2f}", *shares)
        report.ratio(f"{number} objects: slope / one row", slope)
        report.ratio(f"{number} objects: ours / slots", ours / plain if plain else float("nan"))
