"""TRELLIS's latent stage of a whole scene in one packed batch, against each object by itself.

    uv run python -m benchmarks latent_batch [--objects 12] [--voxels 600] [--blocks 2] [--steps 2] [--device cuda]

Full width, random weights, as many objects as there are masks, each with about `--voxels` voxels (half to one and a
half times that, so that lengths differ). Both ways do the same work; the target is that the batch takes less time
than its objects one after another, and less than 12 times an average object.
"""

import torch

from benchmarks.measure import Report, alternate
from scenewright.backbones.trellis1.config import SLatFlowConfig
from scenewright.backbones.trellis1.sampling import sample_latents
from scenewright.backbones.trellis1.slat_flow import SLatFlow
from scenewright.samplers.config import SamplerConfig
from scenewright.weights.record import LatentStatistics

TOKENS = 1374


def random_surface(count: int, generator: torch.Generator) -> torch.Tensor:
    """About `count` voxels of a sphere's shell on a grid of 64."""
    axis = torch.arange(64) - 31.5
    distance = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
    wanted = count * (0.5 + float(torch.rand(1, generator=generator)))
    radius = (wanted / (4 * torch.pi)) ** 0.5
    return ((distance - radius).abs() < 0.5).nonzero().int()


QUICK = {"objects": 2, "voxels": 40, "blocks": 1, "width": 64, "steps": 1, "repeats": 1}


@torch.no_grad()
def section(
    report: Report,
    *,
    objects: int = 12,
    voxels: int = 600,
    blocks: int = 1,
    width: int = 1024,
    steps: int = 1,
    repeats: int = 2,
    device: str = "cpu",
) -> None:
    """Prints the seconds of both ways."""
    generator = torch.Generator().manual_seed(0)
    config = SLatFlowConfig(num_blocks=blocks, model_channels=width, num_heads=width // 64, io_channels=(width // 8,))
    with torch.device(device):
        flow = SLatFlow(config).eval()
    for parameter in flow.parameters():
        parameter.normal_(std=0.02)
    coords = [random_surface(voxels, generator) for _ in range(objects)]
    tokens = torch.randn(1, len(coords), TOKENS, 1024, generator=generator).to(device)
    sampler = SamplerConfig(steps=steps)
    statistics = LatentStatistics((0.0,) * 8, (1.0,) * 8)

    def sample(chosen: list[int]) -> None:
        noise = [torch.Generator().manual_seed(index) for index in chosen]
        sample_latents(flow, [coords[index] for index in chosen], tokens[:, chosen], sampler, statistics, noise)

    everything = list(range(len(coords)))
    packed, alone = alternate([lambda: sample(everything), lambda: [sample([index]) for index in everything]], repeats)
    report(f"{objects} objects of {sum(map(len, coords)) / objects:.0f} voxels, {blocks} blocks of {width}.")
    report.table("one batch s", "one after another s", "batch / one after another", "batch / one average object")
    report.row(f"{packed:.2f}", f"{alone:.2f}", f"**{packed / alone:.3f}**", f"{packed / alone * objects:.2f}")
    report.ratio("batch / one after another", packed / alone)
