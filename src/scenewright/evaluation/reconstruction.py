"""Losses of autoencoders: models through encoder and decoder and back, measured against the models themselves.

The decoder gets the latent alone: it grows its own voxels, as it does behind a flow. Materials are decoded on the true
voxels, so that their figures are not mixed with the shape's. Flows cannot be better than this.

Frame: the model's box centred, its longest side filling [-0.5, 0.5]^3, z up. Legend: N voxels, R resolution.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from PIL import Image
from torch import Tensor

from scenewright.backbones.trellis2.decoding import decode_shape, object_surface
from scenewright.backbones.trellis2.shape_vae import ShapeDecoder, ShapeEncoder, shape_features
from scenewright.backbones.trellis2.texture_vae import TextureDecoder, TextureEncoder, texture_features
from scenewright.data.asset import Asset
from scenewright.errors import EmptyStructureError, InputError
from scenewright.evaluation.pictures import default_camera, draw
from scenewright.geometry.mesh.sample import sample_surface
from scenewright.geometry.ovoxel.dual_grid_mesh import dual_grid_to_mesh
from scenewright.geometry.ovoxel.voxelize_object import object_to_ovoxel
from scenewright.jobs import Failure, run
from scenewright.metrics.point_clouds import cloud_distances
from scenewright.progress import Advance, ignore
from scenewright.recipes.results import trained_network
from scenewright.sparse.hashing import coord_keys
from scenewright.sparse.tensor import VoxelSet, packed_voxels
from scenewright.systems.single_object.autoencoder_training import voxel_pictures
from scenewright.types import DualGrid, Mesh, Scene, SceneObject

__all__ = [
    "Autoencoders",
    "Reconstruction",
    "load_autoencoders",
    "reconstruct",
    "reconstruct_models",
    "record",
    "shape_values",
    "sheet",
    "summary",
]

NUM_POINTS = 20_000
_SHEET_ROWS = 8
_MATERIALS = ("base_color", "metallic", "roughness", "alpha")


@dataclass(frozen=True)
class Autoencoders:
    """The halves of what is to be measured; None where it is not."""

    shape: tuple[ShapeEncoder, ShapeDecoder] | None = None
    texture: tuple[TextureEncoder, TextureDecoder] | None = None


@dataclass(frozen=True)
class Reconstruction:
    """One model's figures, and what can be drawn of it."""

    name: str
    values: dict[str, float]
    true_surface: Mesh
    surface: Mesh | None = None
    coords: Tensor | None = None
    true_colors: Tensor | None = None
    colors: Tensor | None = None


def load_autoencoders(shape: str | Path | None, texture: str | Path | None) -> Autoencoders:
    """The autoencoders that training runs ended with.

    Raises:
        InputError: neither is given, or a folder is no run of that kind.
    """
    if shape is None and texture is None:
        raise InputError("Give --shape or --texture: the folder of a training run of an autoencoder.")
    return Autoencoders(
        None if shape is None else _halves(shape, ShapeEncoder, ShapeDecoder),
        None if texture is None else _halves(texture, TextureEncoder, TextureDecoder),
    )


def _halves(run: str | Path, encoder_type: type, decoder_type: type) -> Any:
    encoder, decoder = trained_network(run, "encoder"), trained_network(run, "decoder")
    if not (isinstance(encoder, encoder_type) and isinstance(decoder, decoder_type)):
        raise InputError(
            f"'{run}' trained a {type(encoder).__name__}, expected a {encoder_type.__name__}; "
            "swap --shape and --texture, or name another run."
        )
    return encoder.eval(), decoder.eval()


@torch.no_grad()
def reconstruct(asset: Asset, autoencoders: Autoencoders, resolution: int) -> Reconstruction:
    """One model through its dual grid of `resolution` and the autoencoders.

    Values: `voxel_iou` of the sets of voxels, `cd` (sum of both mean squared distances) and `f` (at 0.1) of the
    surface in a cube of side 2, `f_voxel` (at the side of a voxel); `color_psnr` (dB), mean absolute material errors.

    Raises:
        InputError: the model has no extent.
    """
    voxels = object_to_ovoxel([part for part in asset.parts if len(part.faces)], resolution)
    grid = voxels.grid
    truth = dual_grid_to_mesh(grid)
    packed = packed_voxels([grid.coords])
    values: dict[str, float] = {"voxels": float(len(grid.coords))}
    surface = None
    if autoencoders.shape is not None:
        shape_encoder, shape_decoder = autoencoders.shape
        latent = shape_encoder(shape_features(packed, grid.dual_vertices, grid.intersected)).mean
        try:
            (rebuilt,), _ = decode_shape(shape_decoder, latent, resolution)
            surface = object_surface(rebuilt)
            values |= shape_values(truth, surface, grid, rebuilt)
        except EmptyStructureError:
            values |= {"voxel_iou": 0.0, "cd": float("nan"), "f": 0.0, "f_voxel": 0.0}
    if autoencoders.texture is None:
        return Reconstruction(asset.id, values, truth, surface)
    texture_encoder, texture_decoder = autoencoders.texture
    materials = torch.cat([voxels.materials[name].float() / 255 for name in _MATERIALS], 1)
    posterior = texture_encoder(texture_features(packed, materials))
    decoded = texture_decoder.materials(texture_decoder(posterior.mean, posterior.pyramid)).clamp(0, 1)
    errors = (decoded - materials).abs()
    values["color_psnr"] = float(-10 * errors[:, :3].square().mean().clamp_min(1e-10).log10())
    values |= {f"{name}_error": float(errors[:, 2 + place].mean()) for place, name in enumerate(_MATERIALS) if place}
    return Reconstruction(asset.id, values, truth, surface, packed.coords, materials[:, :3], decoded[:, :3])


def shape_values(truth: Mesh, rebuilt: Mesh, grid: DualGrid, rebuilt_grid: DualGrid) -> dict[str, float]:
    """`voxel_iou`, `cd`, `f` and `f_voxel` of two surfaces and the grids they come from."""
    keys = [set(coord_keys(packed_voxels([one.coords]).coords).tolist()) for one in (grid, rebuilt_grid)]
    rng = np.random.default_rng(0)
    clouds = [
        torch.from_numpy(2 * sample_surface(mesh.vertices.numpy(), mesh.faces.long().numpy(), NUM_POINTS, rng)).float()
        for mesh in (rebuilt, truth)
    ]
    distances = cloud_distances(*clouds)
    return {
        "voxel_iou": len(keys[0] & keys[1]) / max(len(keys[0] | keys[1]), 1),
        "cd": distances.chamfer,
        "f": distances.fscore(0.1),
        "f_voxel": distances.fscore(2 / grid.resolution),
    }


def reconstruct_models(
    models: Sequence[Callable[[], Asset]],
    autoencoders: Autoencoders,
    resolution: int,
    *,
    progress: Advance = ignore,
) -> tuple[list[Reconstruction], list[str]]:
    """Every model that can be voxelised, and a sentence for every one that cannot.

    Args:
        models: functions that read a model.
    """

    def measured(read: Callable[[], Asset]) -> Reconstruction:
        return reconstruct(read(), autoencoders, resolution)

    results = run(measured, models, tolerated=(InputError,), progress=progress)
    problems = [str(result.error) for result in results if isinstance(result, Failure)]
    return [result for result in results if isinstance(result, Reconstruction)], problems


def summary(reconstructions: Sequence[Reconstruction]) -> dict[str, dict[str, float]]:
    """Mean, bootstrap 95 % interval, median and worst of every figure over the models that have it."""
    names = sorted({name for one in reconstructions for name in one.values if name != "voxels"})
    table = {}
    for name in names:
        values = np.array([one.values[name] for one in reconstructions if name in one.values])
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        low = high = float(values.mean())
        if len(values) > 1:
            interval = scipy.stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(0))
            low, high = (float(bound) for bound in interval.confidence_interval)
        worst = values.max() if name == "cd" or name.endswith("_error") else values.min()
        table[name] = {
            "mean": float(values.mean()),
            "low": low,
            "high": high,
            "median": float(np.median(values)),
            "worst": float(worst),
            "models": float(len(values)),
        }
    return table


def sheet(reconstructions: Sequence[Reconstruction], side: int = 192) -> Image.Image:
    """A row per model, spread from the first to the last: true surface, rebuilt surface, true and rebuilt colours."""
    indices = np.linspace(0, len(reconstructions) - 1, min(_SHEET_ROWS, len(reconstructions)))
    rows = []
    for one in (reconstructions[round(index)] for index in indices):
        camera = default_camera(Scene((SceneObject("truth", (one.true_surface,)),)), side=side)
        tiles = [np.asarray(draw([SceneObject("truth", (one.true_surface,))], camera).convert("RGB"))]
        if one.surface is not None:
            tiles.append(np.asarray(draw([SceneObject("rebuilt", (one.surface,))], camera).convert("RGB")))
        if one.coords is not None and one.true_colors is not None and one.colors is not None:
            strip = voxel_pictures(VoxelSet(one.coords), [one.true_colors, one.colors]).numpy()
            width = round(strip.shape[1] * side / strip.shape[0])
            tiles.append(np.asarray(Image.fromarray(strip).resize((width, side), Image.Resampling.NEAREST)))
        rows.append(np.concatenate(tiles, 1))
    width = max(row.shape[1] for row in rows)
    return Image.fromarray(
        np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255) for row in rows])
    )


def record(
    reconstructions: Sequence[Reconstruction], problems: Sequence[str], facts: Mapping[str, Any]
) -> dict[str, Any]:
    """The JSON record: facts, summary, every model, and what could not be measured."""
    return {
        **facts,
        "summary": summary(reconstructions),
        "models": [{"name": one.name, **one.values} for one in reconstructions],
        "problems": list(problems),
    }
