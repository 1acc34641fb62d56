"""Tiny sizes and tiny samples for every task, so that each recipe's real task takes real steps in tests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scenewright.data.tensor_shards import write_tensor_shard

WIDTH = 32
_FLOW2 = {"model_channels": WIDTH, "cond_channels": 16, "num_blocks": 1, "num_heads": 2, "mlp_ratio": 2.0}
_UNET = {"latent_channels": 4, "resample": ["channel"] * 2, "mlp_ratios": [2.0] * 3}
_ENCODER = {"model_channels": [8, 8, 16], "num_blocks": [0, 1, 1], "io_channels": 6, **_UNET}
_DECODER = {"model_channels": [16, 8, 8], "num_blocks": [1, 1, 0], "io_channels": 7, **_UNET}


def _surface(generator: torch.Generator) -> Tensor:
    """Voxels of a sphere's shell on a grid of 16."""
    radius = 4 + 3 * float(torch.rand(1, generator=generator))
    grid = torch.stack(torch.meshgrid(*[torch.arange(16)] * 3, indexing="ij"), -1)
    distance = (grid - 7.5).norm(dim=-1)
    return ((distance - radius).abs() < 0.7).nonzero().int()


def structure(generator: torch.Generator) -> dict[str, Tensor]:
    occupancy = torch.zeros(1, 16, 16, 16, dtype=torch.uint8)
    occupancy[0][tuple(_surface(generator).long().T)] = 1
    return {"occupancy": occupancy}


def structure_latent(generator: torch.Generator) -> dict[str, Tensor]:
    return {
        "latent": torch.randn(8, 4, 4, 4, generator=generator),
        "cond": torch.randn(5, 16, generator=generator).half(),
    }


def dual_grid(generator: torch.Generator) -> dict[str, Tensor]:
    coords = _surface(generator)
    return {
        "coords": coords,
        "dual_vertices": torch.rand(len(coords), 3, generator=generator),
        "intersected": torch.rand(len(coords), 3, generator=generator) < 0.5,
        "materials": torch.rand(len(coords), 6, generator=generator),
    }


def latent(generator: torch.Generator) -> dict[str, Tensor]:
    coords = _surface(generator) // 4
    coords = coords.unique(dim=0)
    return {
        "coords": coords,
        "latent": torch.randn(len(coords), 4, generator=generator),
        "shape_latent": torch.randn(len(coords), 4, generator=generator),
        "cond": torch.randn(5, 16, generator=generator),
    }


def room(generator: torch.Generator) -> dict[str, Tensor]:
    return {
        "latent": torch.randn(8, 4, 4, 4, generator=generator),
        "tokens": torch.randn(6, 5, 16, generator=generator),
        "camera": torch.tensor([0.1, -0.2, 0.0]),
    }


def room_boxes(generator: torch.Generator) -> dict[str, Tensor]:
    boxes = torch.tensor([[0.2, 0.1, 0.0, 0.3, 0.2, 0.4, 0.5], [-0.25, -0.1, 0.1, 0.2, 0.3, 0.2, -1.0]])
    count = 1 + int(torch.randint(2, (), generator=generator))
    return {"occupancy": torch.rand(16, 16, 16, generator=generator) < 0.2, "boxes": boxes[:count]}


def room_parts(generator: torch.Generator) -> dict[str, Tensor]:
    lengths = torch.tensor([6, 0, 3]) if torch.rand((), generator=generator) < 0.5 else torch.tensor([6, 4, 3])
    total = int(lengths.sum())
    return {
        "coords": torch.randint(4, (total, 3), generator=generator),
        "latent": torch.randn(total, 4, generator=generator),
        "shape_latent": torch.randn(total, 4, generator=generator),
        "lengths": lengths,
        "boxes": torch.tensor([[0.2, 0.1, 0.0, 0.3, 0.2, 0.4, 0.5]]),
        "tokens": torch.randn(6, 9, 16, generator=generator),
        "camera": torch.tensor([0.1, -0.2, 0.0]),
    }


def _views(generator: torch.Generator) -> dict[str, Tensor]:
    """Three views of a chunk that all look at its middle along z."""
    cameras = torch.eye(4).repeat(3, 1, 1)
    cameras[:, 2, 3] = 1.5
    return {
        "tokens": torch.randn(3, 5 + 4, 16, generator=generator),
        "cam_from_chunk": cameras,
        "intrinsics_unit": torch.tensor([[0.9, 0, 0.5], [0, 0.9, 0.5], [0, 0, 1]]).repeat(3, 1, 1),
    }


def chunk_structure(generator: torch.Generator) -> dict[str, Tensor]:
    return {"latent": torch.randn(8, 4, 4, 4, generator=generator), **_views(generator)}


def chunk_latent(generator: torch.Generator) -> dict[str, Tensor]:
    sample = latent(generator)
    del sample["cond"]
    return sample | _views(generator)


SAMPLES: dict[str, Callable[[torch.Generator], dict[str, Tensor]]] = {
    "structure_vae": structure,
    "structure_flow": structure_latent,
    "shape_vae": dual_grid,
    "texture_vae": dual_grid,
    "shape_flow": latent,
    "texture_flow": latent,
    "inspace_structure": room,
    "inspace_boxes": room_boxes,
    "inspace_shape": lambda generator: {k: v for k, v in room_parts(generator).items() if k != "shape_latent"},
    "inspace_texture": room_parts,
    "genrecon_structure": chunk_structure,
    "genrecon_shape": chunk_latent,
    "genrecon_texture": chunk_latent,
}
_STRUCTURE_FLOW = {"resolution": 4, **_FLOW2}
_LATENT_FLOW = {"resolution": 4, "out_channels": 4, **_FLOW2}
_FACES = {"image_size": 32, "patch_size": 16, "num_special": 5}
MODELS: dict[str, dict[str, Any]] = {
    "structure_vae": {"network": {"channels": [4, 8], "num_res_blocks": 1, "num_res_blocks_middle": 1}},
    "structure_flow": {"network": _STRUCTURE_FLOW},
    "shape_vae": {"encoder": _ENCODER, "decoder": _DECODER},
    "texture_vae": {"encoder": _ENCODER, "decoder": _DECODER | {"io_channels": 6, "predicts_subdivision": False}},
    "shape_flow": {"network": {"in_channels": 4, **_LATENT_FLOW}},
    "texture_flow": {"network": {"in_channels": 8, **_LATENT_FLOW}},
    "inspace_structure": {"network": _STRUCTURE_FLOW},
    "inspace_boxes": {"network": {"resolution": 16, "base_channels": 2}},
    "inspace_shape": {"network": {"in_channels": 4, **_LATENT_FLOW}, "faces": _FACES},
    "inspace_texture": {"network": {"in_channels": 8, **_LATENT_FLOW}, "faces": _FACES},
    "genrecon_structure": {"network": _STRUCTURE_FLOW},
    "genrecon_shape": {"network": {"in_channels": 4, **_LATENT_FLOW}},
    "genrecon_texture": {"network": {"in_channels": 8, **_LATENT_FLOW}},
}


def tiny_model(task: str, published: dict[str, Any]) -> dict[str, Any]:
    """The recipe's [model] table at a tiny size."""
    return {
        key: {**published.get(key, {}), **value} if isinstance(value, dict) else value
        for key, value in {**published, **MODELS[task]}.items()
    }


def write_samples(task: str, folder: Path, count: int = 4) -> Path:
    """Shards with `count` samples for the task."""
    generator = torch.Generator().manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    write_tensor_shard(folder, 0, [(f"{i:05d}", SAMPLES[task](generator)) for i in range(count)])
    return folder
