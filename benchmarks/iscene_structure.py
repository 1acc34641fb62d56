"""Cost of I-Scene's structure stage against the number of objects, with full-size random weights.

    uv run python -m benchmarks.iscene_structure [--device cuda] [--dtype bfloat16] [--objects 1 2 4 8 12] [--steps 2]

Three ways to sample the same objects:

    ours        the scene once, objects against it; conditions projected once, zero conditions as constants
    slots       every slot of every object as published (2 N rows), zero conditions attended to
    one row     one picture alone through the plain backbone, with the same shortcuts: what "linear in N" is measured by

Slope is (ours(N) - ours(first N)) / (N - first N) over one row; the target is at most 1.15. Objects are given noise of
their own, so that the saving of the first step, one of 44 evaluations in a published run, does not flatter short runs.

--count counts the operations of matrix products and attention without running anything: what the algorithm saves,
whatever the machine. The table is the same, with 10^12 operations in place of seconds.
"""

import argparse
from collections.abc import Callable
from functools import partial

import torch
from tests.support.iscene_published import conditions_from_slots
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import alternate, machine
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 2, 4, 8, 12])
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--slots-up-to", type=int, default=12, help="largest N for which the published path is run")
    parser.add_argument("--canonical", action="store_true", help="three slots")
    parser.add_argument("--count", action="store_true", help="count operations instead of taking time")
    arguments = parser.parse_args()
    dtype = getattr(torch, arguments.dtype)
    device = torch.device("meta" if arguments.count else arguments.device)
    sizes = StructureFlowConfig(num_blocks=arguments.blocks)
    torch.manual_seed(0)
    num_context = max(1, round(arguments.blocks * 5 / 24))
    with device:
        flow = (
            SceneContextFlow(SceneContextConfig(sizes, num_context, arguments.canonical)).eval().requires_grad_(False)
        )
    flow.initialize_weights()
    flow.eval().requires_grad_(False)
    cast_torso(flow.torso, dtype)
    slots, config = flow.scene_config.num_slots, SamplerConfig(steps=arguments.steps, guidance_strength=3.0)
    noise = torch.randn(slots, sizes.in_channels, *[sizes.resolution] * 3, device=device)
    guided_steps = sum(0.5 <= t <= 1 for t in rescaled_times(config.steps, config.rescale_t)[:-1])
    where = "counted on no machine" if arguments.count else machine()
    print(f"{where}\n{arguments.blocks} blocks ({num_context} read the scene), {arguments.dtype}, ", end="")
    print(f"{slots} slots, {arguments.steps} steps, {guided_steps} of them guided\n")
    print("| objects | ours s | slots s | slots / ours | one row s | ours / (N rows) | slope per object / one row |")
    print("|---|---|---|---|---|---|---|")
    first: tuple[int, float] | None = None
    for count in arguments.objects:
        cond = torch.randn(count, slots, CONTEXT_TOKENS, sizes.cond_channels, device=device)
        cond[:, 1] = cond[:1, 1]
        rows = noise.expand(count, *noise.shape)
        objects = torch.cat([rows[:, :1], rows[:, 2:]], 1)
        conditions = conditions_from_slots(cond)
        calls = [
            partial(sample_structure, flow, conditions, noise, config, object_noise=objects),
            lambda: sampled(flow, flow.project_context(conditions.scene[None]), None, noise[:1], config),
        ]
        if count <= arguments.slots_up_to:
            calls.append(lambda: sampled(flow.forward_slots, cond, torch.zeros_like(cond), rows, config))
        with torch.no_grad():
            if arguments.count:
                ours, row, *plain = operations(calls)
            else:
                ours, row, *plain = alternate(calls, repeats=arguments.repeats, warmup=int(device.type != "cpu"))
        slope = "" if first is None else f"{(ours - first[1]) / (count - first[0]) / row:.2f}"
        first = first or (count, ours)
        ratio = [f"{plain[0]:.2f}", f"{plain[0] / ours:.2f}"] if plain else ["", ""]
        print(f"| {count} | {ours:.2f} | {ratio[0]} | {ratio[1]} | {row:.2f} | {ours / count / row:.2f} | {slope} |")


if __name__ == "__main__":
    main()
