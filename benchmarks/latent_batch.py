"""TRELLIS's latent stage of a whole scene in one packed batch, against each object by itself.

    uv run python -m benchmarks.latent_batch [--objects 12] [--voxels 600] [--blocks 2] [--steps 2] [--device cuda]

Full width, random weights, as many objects as there are masks, each with about `--voxels` voxels (half to one and a
half times that, so that lengths differ). Both ways do the same work; the target is that the batch takes less time
than its objects one after another, and less than 12 times an average object.
"""

import argparse

import torch

from benchmarks.measure import alternate, machine
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=12)
    parser.add_argument("--voxels", type=int, default=600)
    parser.add_argument("--blocks", type=int, default=2)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    with torch.device(arguments.device):
        flow = SLatFlow(SLatFlowConfig(num_blocks=arguments.blocks)).eval().requires_grad_(False)
    for parameter in flow.parameters():
        parameter.normal_(std=0.02)
    coords = [random_surface(arguments.voxels, generator) for _ in range(arguments.objects)]
    tokens = torch.randn(1, len(coords), TOKENS, 1024, generator=generator).to(arguments.device)
    sampler = SamplerConfig(steps=arguments.steps)
    statistics = LatentStatistics((0.0,) * 8, (1.0,) * 8)

    def sample(chosen: list[int]) -> None:
        noise = [torch.Generator().manual_seed(index) for index in chosen]
        sample_latents(flow, [coords[index] for index in chosen], tokens[:, chosen], sampler, statistics, noise)

    everything = list(range(len(coords)))
    packed, alone = alternate(
        [lambda: sample(everything), lambda: [sample([index]) for index in everything]], arguments.repeats
    )
    print(machine())
    print(
        f"{len(coords)} objects of {sum(map(len, coords)) / len(coords):.0f} voxels, {arguments.blocks} blocks of 1024"
    )
    print("| one batch s | one after another s | batch / one after another | batch / one average object |")
    print("|---|---|---|---|")
    print(f"| {packed:.2f} | {alone:.2f} | {packed / alone:.3f} | {packed / alone * len(coords):.2f} |")


if __name__ == "__main__":
    main()
