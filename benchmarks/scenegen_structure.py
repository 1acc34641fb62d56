"""SceneGen's structure stage at full size with random weights, against the number of objects.

    uv run python -m benchmarks.scenegen_structure [--device cuda] [--assets 1 2 4 8 12] [--plain]

A published run has 25 steps, 19 of them guided. Times are of one conditional and one unconditional evaluation, of
projecting the condition once, and the run they add up to. `--plain` also times the published way: every token
projected for every asset at every evaluation, attention to an all-zero condition, poses at every evaluation.
On a CPU a full evaluation takes a minute per object: use `--blocks 1` and scale.
"""

import argparse
from collections.abc import Callable

import torch

from benchmarks.measure import machine, seconds
from scenewright.nn.precision import cast_torso
from scenewright.systems.scenegen.condition import SceneCondition
from scenewright.systems.scenegen.config import SceneFlowConfig
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow

GUIDED, UNGUIDED = 19, 6
PICTURE_TOKENS = 1374


def random_flow(blocks: int, device: torch.device, dtype: torch.dtype) -> SceneStructureFlow:
    """Published sizes, random weights."""
    with torch.device(device):
        flow = SceneStructureFlow(SceneFlowConfig(num_blocks=blocks))
    for parameter in flow.parameters():
        parameter.requires_grad_(False).normal_(std=0.02)
    cast_torso(flow.torso, dtype)
    return flow.eval()


def condition(assets: int, device: torch.device) -> SceneCondition:
    """Cut-out and mask of each asset; whole picture and both halves of VGGT for the scene."""
    own = torch.randn(assets, 2 * PICTURE_TOKENS, 1024, device=device)
    return SceneCondition(own, torch.randn(3 * PICTURE_TOKENS, 1024, device=device))


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--assets", type=int, nargs="+", default=[1, 2, 4, 8, 12])
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--dtype", default="")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--plain", action="store_true")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    dtype = getattr(torch, arguments.dtype or ("bfloat16" if device.type == "cuda" else "float32"))
    flow = random_flow(arguments.blocks, device, dtype)
    print(f"{machine()}, {arguments.blocks} blocks, {str(dtype).removeprefix('torch.')}\n")
    print(
        "| objects | project s | conditional s | unconditional s | 25 steps s | per object s | plain 25 steps s | GB |"
    )
    print("|---|---|---|---|---|---|---|---|")

    for assets in arguments.assets:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        x, t = torch.randn(assets, 8, 16, 16, 16, device=device), torch.tensor([500.0], device=device)
        tokens = condition(assets, device)
        context = flow.project_scene(tokens)
        project, conditional, unconditional = (
            seconds(run, arguments.repeats)
            for run in (
                lambda: flow.project_scene(tokens),
                lambda: flow(x, t, context),
                lambda: flow(x, t, None),
            )
        )
        total = project + (GUIDED + UNGUIDED) * conditional + GUIDED * unconditional
        memory = torch.cuda.max_memory_allocated() / 1e9 if device.type == "cuda" else float("nan")
        context = None
        plain = seconds(plain_evaluation(flow, x, t, tokens), arguments.repeats) if arguments.plain else float("nan")
        plain_total = plain * (2 * GUIDED + UNGUIDED)
        figures = (project, conditional, unconditional, total, total / assets, plain_total, memory)
        print(f"| {assets} | {' | '.join(f'{figure:.3g}' for figure in figures)} |", flush=True)


def plain_evaluation(
    flow: SceneStructureFlow, x: torch.Tensor, t: torch.Tensor, tokens: SceneCondition
) -> Callable[[], object]:
    """One evaluation of the published code; the unconditional one costs the same."""
    assert tokens.shared is not None
    repeated = SceneCondition(torch.cat([tokens.own, tokens.shared.expand(len(x), -1, -1)], 1))
    return lambda: flow.velocity_and_poses(x, t.expand(len(x)), flow.project_scene(repeated, keep_keys=False))


if __name__ == "__main__":
    main()
