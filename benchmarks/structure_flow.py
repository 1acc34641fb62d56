"""One full-size structure-flow forward against its bare matrix products and attention calls, replayed alone.

    uv run python -m benchmarks.structure_flow [--device cuda]

What a forward costs beyond the replay is everything else: norms, modulation, activations, residuals, reshapes.
"""

import argparse

import torch
import torch.nn.functional as F

from benchmarks.measure import alternate, machine, matmul_peak
from scenewright.backbones.trellis1.config import StructureFlowConfig
from scenewright.backbones.trellis1.structure_flow import StructureFlow
from scenewright.nn.precision import cast_torso

CONTEXT_TOKENS = 1374


def replay(config: StructureFlowConfig, device: torch.device, dtype: torch.dtype):
    """A function that only multiplies and attends, with the shapes of one forward (context projected beforehand)."""
    tokens, width, heads = config.resolution**3, config.model_channels, config.num_heads
    x = torch.randn(tokens, width, device=device, dtype=dtype)
    hidden = torch.randn(tokens, int(width * config.mlp_ratio), device=device, dtype=dtype)
    linears = [torch.randn(n, width, device=device, dtype=dtype) / 32 for n in (3 * width, width, width, width)]
    expand, contract = (
        torch.randn(s, device=device, dtype=dtype) / 32 for s in ((4 * width, width), (width, 4 * width))
    )
    biases = [torch.zeros(n, device=device, dtype=dtype) for n in (3 * width, width, width, width, 4 * width, width)]
    adaln, adaln_bias = (torch.randn(s, device=device, dtype=dtype) for s in ((6 * width, width), (6 * width,)))
    q = torch.randn(1, heads, tokens, width // heads, device=device, dtype=dtype)
    kv = torch.randn(1, heads, CONTEXT_TOKENS, width // heads, device=device, dtype=dtype)

    def run() -> None:
        for _ in range(config.num_blocks):
            F.linear(x[:1], adaln, adaln_bias)
            for weight, bias in zip(linears, biases, strict=False):
                F.linear(x, weight, bias)
            F.scaled_dot_product_attention(q, q, q)
            F.scaled_dot_product_attention(q, kv, kv)
            F.linear(x, expand, biases[4])
            F.linear(hidden, contract, biases[5])

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    config = StructureFlowConfig(num_blocks=arguments.blocks)
    print(f"{machine()}\n")
    print("| dtype | forward s | replay s | forward / replay | of matmul peak |")
    print("|---|---|---|---|---|")
    for dtype in (torch.float32, torch.bfloat16):
        flow = StructureFlow(config).to(device).eval()
        cast_torso(flow.torso, dtype)
        x, t = torch.randn(1, 8, 16, 16, 16, device=device), torch.tensor([500.0], device=device)
        with torch.no_grad():
            context = flow.project_context(torch.randn(1, CONTEXT_TOKENS, 1024, device=device))
            forward, bare = alternate(
                [lambda: flow(x, t, context), replay(config, device, dtype)], repeats=arguments.repeats
            )
        tokens, width = 4096, config.model_channels
        per_block = 2 * tokens * 14 * width**2 + 4 * tokens * (tokens + CONTEXT_TOKENS) * width
        used = per_block * config.num_blocks / forward / matmul_peak(device, dtype)
        print(
            f"| {str(dtype).removeprefix('torch.')} | {forward:.2f} | {bare:.2f} | {forward / bare:.3f} | {used:.0%} |"
        )


if __name__ == "__main__":
    main()
