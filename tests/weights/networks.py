"""Tiny networks with the features that loading has to cope with."""

import torch
from torch import Tensor, nn

from scenewright.weights.keymap import KeyMap

KEYMAP = KeyMap({"blocks.{}.mlp.mlp.0.*": "blocks.{}.expand.*", "blocks.{}.mlp.mlp.2.*": "blocks.{}.contract.*"})


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width)
        self.contract = nn.Linear(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.contract(self.expand(self.norm(x)))


class Network(nn.Module):
    """Published names differ in `mlp`; the torso may be half precision; one buffer is saved with the weights."""

    def __init__(self, width: int = 8, num_blocks: int = 2, torso_dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(num_blocks))
        self.register_buffer("positions", torch.arange(width, dtype=torch.float32))
        for block in self.blocks:
            block.expand.to(torso_dtype)
            block.contract.to(torso_dtype)


class Rotary(nn.Module):
    """A non-persistent buffer that the module can make anew."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2))
        self.register_buffer("phases", torch.arange(4.0), persistent=False)

    def reset_buffers(self, device: torch.device) -> None:
        self.phases = torch.arange(4.0, device=device)


class Forgetful(nn.Module):
    """A non-persistent buffer and no way to make it anew."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("phases", torch.arange(4.0), persistent=False)


def randomised(module: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return module
