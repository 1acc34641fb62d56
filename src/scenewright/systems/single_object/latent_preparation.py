"""From prepared assets to what flows train on: latents of the autoencoders and condition tokens of the pictures.

Reads the shards of `preparation.py`; writes one sample per picture, since flows see one view at a time:

    structure   latent [C, r, r, r], cond [L, Cc]
    shape       coords [M, 3], latent [M, C], cond [L, Cc]
    texture     coords [M, 3], latent [M, C], shape_latent [M, Cs], cond [L, Cc]

Latents are the encoders' means; those of tokens are normalised per channel with statistics that are measured on the
training part, or given (a published model's), and written to `statistics.json`.
Source: the data toolkit of microsoft/TRELLIS.2.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from scenewright.backbones.structure_vae import StructureEncoder
from scenewright.backbones.trellis2.shape_vae import ShapeEncoder, shape_features
from scenewright.backbones.trellis2.texture_vae import TextureEncoder, texture_features
from scenewright.data.tensor_shards import TensorShardSet, write_tensor_shard
from scenewright.encoders.preprocess.trellis1 import prepare_object
from scenewright.files import checked, read_json, reading
from scenewright.io.atomic import make_folder, write_bytes
from scenewright.io.images import pixels_of
from scenewright.progress import Advance, ignore
from scenewright.sparse.tensor import VoxelSet
from scenewright.systems.single_object.preparation import PARTS
from scenewright.weights.record import LatentStatistics

__all__ = ["PictureEncoder", "encode_structures", "encode_tokens", "read_statistics", "write_statistics"]

_SAMPLES_PER_SHARD = 64


@dataclass(frozen=True)
class PictureEncoder:
    """Condition tokens of a cut-out: cropped square with `margin` (TRELLIS 1.2, TRELLIS.2 1.0), `size` pixels."""

    network: nn.Module
    size: int
    margin: float = 1.2

    @torch.no_grad()
    def tokens(self, picture: Tensor) -> Tensor:
        """fp16 `[L, C]` of one RGBA picture `[4, S, S]` in bytes."""
        image = Image.fromarray(np.ascontiguousarray(picture.movedim(0, -1).numpy()), "RGBA")
        crop = prepare_object(image, size=self.size, margin=self.margin)
        pixels = pixels_of(crop, "RGB").movedim(-1, 0)[None].float() / 255
        device = next(self.network.parameters()).device
        return self.network(pixels.to(device))[0].half().cpu()


@torch.no_grad()
def encode_structures(
    assets: str | Path,
    out: str | Path,
    encoder: StructureEncoder,
    pictures: PictureEncoder,
    *,
    progress: Advance = ignore,
) -> int:
    """Structure latents; returns the number of samples written.

    Raises:
        InputError: the assets were prepared without pictures, or cannot be read.
    """
    device = next(encoder.parameters()).device

    def samples(sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"latent": encoder(sample["occupancy"][None].float().to(device))[0][0].cpu()}

    return _write_parts(assets, Path(out), ("occupancy", "pictures"), samples, pictures, progress)


@torch.no_grad()
def encode_tokens(
    assets: str | Path,
    out: str | Path,
    shape_encoder: ShapeEncoder,
    pictures: PictureEncoder,
    *,
    texture_encoder: TextureEncoder | None = None,
    statistics: Mapping[str, LatentStatistics] | None = None,
    progress: Advance = ignore,
) -> int:
    """Shape latents, and with a texture encoder texture latents on the same tokens; returns the number of samples.

    Args:
        statistics: of "shape" and "texture"; measured on the training part where None.

    Raises:
        InputError: the assets were prepared without pictures, or cannot be read.
    """
    device = next(shape_encoder.parameters()).device

    def latents(sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
        coords = torch.nn.functional.pad(sample["coords"], (1, 0)).to(device)
        features = shape_features(
            VoxelSet(coords), sample["dual_vertices"].to(device), sample["intersected"].to(device)
        )
        shape = shape_encoder(features).mean
        found = {"coords": shape.coords[:, 1:].int().cpu(), "shape": shape.feats.float().cpu()}
        if texture_encoder is not None:
            texture = texture_encoder(texture_features(VoxelSet(coords), sample["materials"].to(device))).mean
            # Both encoders halve the same voxels, so their tokens are the same, row by row.
            assert torch.equal(texture.coords, shape.coords)
            found["texture"] = texture.feats.float().cpu()
        return found

    names = ("coords", "dual_vertices", "intersected", "materials", "pictures")
    known = statistics or _measured(_set_of(assets, "train", names), latents)
    make_folder(out)
    write_statistics(Path(out) / "statistics.json", known)

    def normalised(sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found = latents(sample)
        scaled = {
            name: (found[name] - torch.tensor(entry.mean)) / torch.tensor(entry.std)
            for name, entry in known.items()
            if name in found
        }
        if "texture" not in scaled:
            return {"coords": found["coords"], "latent": scaled["shape"]}
        return {"coords": found["coords"], "latent": scaled["texture"], "shape_latent": scaled["shape"]}

    return _write_parts(assets, Path(out), names, normalised, pictures, progress)


def write_statistics(path: Path, statistics: Mapping[str, LatentStatistics]) -> None:
    """Statistics by kind, as `read_statistics` reads them."""
    write_bytes(path, json.dumps({kind: asdict(entry) for kind, entry in statistics.items()}).encode())


def read_statistics(path: str | Path) -> dict[str, LatentStatistics]:
    """Statistics written by `write_statistics`, by kind.

    Raises:
        InputError: the file is missing or of another form.
    """
    with reading(Path(path), "a file of latent statistics", "prepare the latents again"):
        return {kind: checked(entry, LatentStatistics) for kind, entry in read_json(path, dict).items()}


def _set_of(assets: str | Path, part: str, names: tuple[str, ...]) -> TensorShardSet:
    return TensorShardSet(Path(assets) / part, names=names)


def _measured(
    source: TensorShardSet, latents: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]
) -> dict[str, LatentStatistics]:
    """Mean and standard deviation per channel over all tokens."""
    sums: dict[str, list[Tensor]] = {}
    for index in range(len(source)):
        for name, values in latents(source.tensors(index)).items():
            if name != "coords":
                rows = values.double()
                added = [torch.tensor(float(len(rows))), rows.sum(0), rows.square().sum(0)]
                sums[name] = [a + b for a, b in zip(sums[name], added, strict=True)] if name in sums else added
    found = {}
    for name, (count, total, squares) in sums.items():
        mean = total / count
        deviation = (squares / count - mean.square()).clamp(min=1e-12).sqrt()
        found[name] = LatentStatistics(tuple(mean.tolist()), tuple(deviation.tolist()))
    return found


def _write_parts(
    assets: str | Path,
    out: Path,
    names: tuple[str, ...],
    encode: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
    pictures: PictureEncoder,
    progress: Advance,
) -> int:
    written = 0
    for part in PARTS:
        if not (Path(assets) / part).is_dir():
            continue
        source = _set_of(assets, part, names)
        make_folder(out / part)
        for number, samples in enumerate(_grouped(_views(source, encode, pictures, progress))):
            write_tensor_shard(out / part, number, samples)
            written += len(samples)
    return written


def _views(
    source: TensorShardSet,
    encode: Callable[[Mapping[str, Tensor]], dict[str, Tensor]],
    pictures: PictureEncoder,
    progress: Advance,
) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """One sample per picture."""
    for index in range(len(source)):
        sample = source.tensors(index)
        latent = encode(sample)
        for view, picture in enumerate(sample["pictures"]):
            yield f"{index:06d}-{view:02d}", {**latent, "cond": pictures.tokens(picture)}
        progress(index + 1, len(source))


def _grouped(samples: Iterator[tuple[str, dict[str, Tensor]]]) -> Iterator[list[tuple[str, dict[str, Tensor]]]]:
    group = []
    for sample in samples:
        group.append(sample)
        if len(group) == _SAMPLES_PER_SHARD:
            yield group
            group = []
    if group:
        yield group
