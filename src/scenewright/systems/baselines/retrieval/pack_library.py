"""The retrieval library of a model pack: every training model, pictured from all sides at the height of a room camera.

Only the training split is ever read, and every model passes the held-out check (see `scenewright.data.library`).
"""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from scenewright.data.asset import Asset
from scenewright.data.library import TrainingLibrary
from scenewright.errors import InputError
from scenewright.geometry.rotation import yaw_to_matrix
from scenewright.io.archives import read_npz_arrays
from scenewright.io.atomic import make_folder, write_bytes
from scenewright.progress import Advance, ignore
from scenewright.rendering.framing import frame_points
from scenewright.rendering.lights import Lights, SunLight
from scenewright.rendering.render import RenderOptions, render
from scenewright.systems.baselines.retrieval.cut_out import cut_out
from scenewright.systems.baselines.retrieval.library import FeatureFunction, ModelLibrary, StoredModel, build_library
from scenewright.types import Mask, Mesh, Scene, SceneObject

__all__ = ["library_of_pack", "pictures_of"]

_SIDE, _PITCH_DEG, _NUM_YAWS = 96, 20.0, 12
# Without shadows: thousands of pictures are drawn, and only outline, edges and colour are read from them.
_LIGHTS = Lights(suns=(SunLight((-0.55, -0.75, 1.15), (0.6, 0.6, 0.6), has_shadow=False),))
_OPTIONS = RenderOptions(with_channels=False, threads=1)


def library_of_pack(
    pack: str | Path,
    features: FeatureFunction,
    *,
    cache: Path | None = None,
    progress: Advance = ignore,
) -> ModelLibrary:
    """Features of twelve pictures of every training model in the pack. Minutes for 500 models on two cores.

    Args:
        cache: file that keeps the features; taken if it was made from this pack and of this function.
        progress: called with (models done, models in all).

    Raises:
        InputError: the pack cannot be read or has no training model.
    """
    models = TrainingLibrary([pack], families=())

    def model(name: str) -> StoredModel:
        return StoredModel(name, lambda: models[name].asset.parts)

    key = _key_of(Path(pack), features)
    kept = _read(cache, key) if cache is not None else None
    if kept is not None:
        names, found, model_of, yaws = kept
        return ModelLibrary(tuple(map(model, names)), found, model_of, yaws)
    pictures = ((model(item.asset.id), pictures_of(item.asset)) for item in models.admissible(progress))
    library = build_library(pictures, features)
    if cache is not None:
        _write(cache, key, library)
    return library


def pictures_of(asset: Asset) -> Iterator[tuple[float, Image.Image]]:
    """(yaw in radians, cut-out) as a camera in front sees the model turned by yaw."""
    points = torch.cat([part.vertices for part in asset.parts])
    if len(points) == 0:
        return
    for step in range(_NUM_YAWS):
        yaw = 2 * torch.pi * step / _NUM_YAWS
        turn = torch.eye(4)
        turn[:3, :3] = yaw_to_matrix(torch.tensor(yaw))
        placed = SceneObject(asset.id, _with_faces(asset.parts), world_from_object=turn)
        turned = points @ turn[:3, :3].T
        camera = frame_points(turned, yaw_deg=0.0, pitch_deg=_PITCH_DEG, width=_SIDE, height=_SIDE, fov_deg=40.0)
        drawn = render(Scene((placed,)), camera, _LIGHTS, _OPTIONS).image(transparent=True)
        mask = torch.frombuffer(bytearray(drawn.getchannel("A").tobytes()), dtype=torch.uint8).reshape(_SIDE, _SIDE)
        if bool((mask > 127).any()):
            yield yaw, cut_out(drawn, Mask.of(mask > 127))


def _with_faces(parts: Sequence[Mesh]) -> tuple[Mesh, ...]:
    return tuple(part for part in parts if len(part.faces))


def _key_of(pack: Path, features: FeatureFunction) -> str:
    state = pack.stat()
    facts = [pack.name, state.st_size, state.st_mtime_ns, features.__module__, features.__qualname__]
    return hashlib.sha256(json.dumps([*facts, _SIDE, _PITCH_DEG, _NUM_YAWS]).encode()).hexdigest()


def _read(cache: Path, key: str) -> tuple[list[str], torch.Tensor, torch.Tensor, torch.Tensor] | None:
    try:
        kept = read_npz_arrays(cache)
        if str(kept["key"]) != key:
            return None
        tensors = [torch.from_numpy(kept[name]) for name in ("features", "model_of", "yaws")]
        return [str(name) for name in kept["names"]], tensors[0], tensors[1], tensors[2]
    except (InputError, KeyError):
        return None


def _write(cache: Path, key: str, library: ModelLibrary) -> None:
    content = io.BytesIO()
    np.savez(
        content,
        key=np.array(key),
        names=np.array([model.name for model in library.models]),
        features=library.features.numpy(),
        model_of=library.model_of.numpy(),
        yaws=library.yaws.numpy(),
    )
    make_folder(cache.parent)
    write_bytes(cache, content.getvalue())
