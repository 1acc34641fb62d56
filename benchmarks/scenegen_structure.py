"""SceneGen's structure stage at full size with random weights, against the number of objects.

    uv run python -m benchmarks scenegen_structure [--device cuda] [--assets 1 2 4 8 12] [--blocks 24]

A published run has 25 steps, 19 of them guided. Times are of one conditional and one unconditional evaluation, of
projecting the condition once, and the run they add up to. "Plain" is the published way: every token
projected for every asset at every evaluation, attention to an all-zero condition, poses at every evaluation.
On a CPU a full evaluation takes a minute per object, so one block is the default.
"""

from collections.abc import Callable

import torch

from benchmarks.measure import Report, alternate
from scenewright.nn.precision import cast_torso
from scenewright.systems.scenegen.condition import SceneCondition
from scenewright.systems.scenegen.config import SceneFlowConfig
from scenewright.systems.scenegen.structure_flow import SceneStructureFlow

GUIDED, UNGUIDED = 19, 6
PICTURE_TOKENS = 1374


def random_flow(blocks: int, width: int, device: torch.device, dtype: torch.dtype) -> SceneStructureFlow:
    """Published sizes, random weights."""
    with torch.device(device):
        flow = SceneStructureFlow(SceneFlowConfig(num_blocks=blocks, model_channels=width, num_heads=width // 64))
    for parameter in flow.parameters():
        parameter.requires_grad_(False).normal_(std=0.02)
    cast_torso(flow.torso, dtype)
    return flow.eval()


def condition(assets: int, device: torch.device) -> SceneCondition:
    """Cut-out and mask of each asset; whole picture and both halves of VGGT for the scene."""
    own = torch.randn(assets, 2 * PICTURE_TOKENS, 1024, device=device)
    return SceneCondition(own, torch.randn(3 * PICTURE_TOKENS, 1024, device=device))


def plain_evaluation(
    flow: SceneStructureFlow, x: torch.Tensor, t: torch.Tensor, tokens: SceneCondition
) -> Callable[[], object]:
    """One evaluation of the published code; the unconditional one costs the same."""
    assert tokens.shared is not None
    repeated = SceneCondition(torch.cat([tokens.own, tokens.shared.expand(len(x), -1, -1)], 1))
    return lambda: flow.velocity_and_poses(x, t.expand(len(x)), flow.project_scene(repeated, keep_keys=False))


QUICK = {"assets": (1, 2), "width": 64, "repeats": 1}


@torch.no_grad()
def section(
    report: Report,
    *,
    device: str = "cpu",
    assets: tuple[int, ...] = (1, 2, 4),
    blocks: int = 1,
    width: int = 1024,
    dtype: str = "",
    repeats: int = 2,
) -> None:
    """Prints a row for each number of objects; `dtype` is by default half precision on CUDA."""
    where = torch.device(device)
    precision = getattr(torch, dtype or ("bfloat16" if where.type == "cuda" else "float32"))
    flow = random_flow(blocks, width, where, precision)
    report(f"{blocks} blocks of {width}, {str(precision).removeprefix('torch.')}.")
    times = "project s", "conditional s", "unconditional s", "25 steps s", "per object s", "plain 25 steps s"
    report.table("objects", *times, "ours / plain", "GB")
    for count in assets:
        if where.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        x, t = torch.randn(count, 8, 16, 16, 16, device=where), torch.tensor([500.0], device=where)
        tokens = condition(count, where)
        context = flow.project_scene(tokens)
        project, conditional, unconditional, plain = alternate(
            [
                lambda: flow.project_scene(tokens),
                lambda: flow(x, t, context),
                lambda: flow(x, t, None),
                plain_evaluation(flow, x, t, tokens),
            ],
            repeats,
        )
        total = project + (GUIDED + UNGUIDED) * conditional + GUIDED * unconditional
        plain_total = plain * (2 * GUIDED + UNGUIDED)
        memory = torch.cuda.max_memory_allocated() / 1e9 if where.type == "cuda" else float("nan")
        figures = project, conditional, unconditional, total, total / count, plain_total, total / plain_total, memory
        report.row(count, *(f"{figure:.3g}" for figure in figures))
        report.ratio(f"{count} objects: ours / plain", total / plain_total)
