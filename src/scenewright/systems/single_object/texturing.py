"""Materials for a given mesh from a picture, with TRELLIS.2: the mesh's own voxels condition the texture flow.

    mesh -> voxels -> shape encoder -> texture flow (picture) -> texture decoder on the same voxels -> bake

Geometry is not changed: the result has the input's surface and frame.
Source: microsoft/TRELLIS.2 trellis2/pipelines/trellis2_texturing.py.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch
from PIL import Image

import scenewright
from scenewright.backbones.networks import PublishedNetworks
from scenewright.backbones.registry import check_options
from scenewright.backbones.trellis2 import SPEC
from scenewright.backbones.trellis2.config import MAX_NUM_TOKENS
from scenewright.backbones.trellis2.decoding import decode_materials
from scenewright.backbones.trellis2.pretrained import SHAPE_ENCODER, TEXTURE_DECODER, texture_flow, trellis2_networks
from scenewright.backbones.trellis2.sampling import latent_noise, sample_texture_latent
from scenewright.backbones.trellis2.shape_vae import shape_features
from scenewright.backbones.trellis2.sparse_unet import Posterior
from scenewright.encoders.dinov3 import Dinov3
from scenewright.encoders.pictures import encode_pictures
from scenewright.encoders.preprocess.crop import BackgroundRemover
from scenewright.encoders.preprocess.trellis2 import prepare_object, resized_for_encoder
from scenewright.encoders.weights import load_named_dinov3
from scenewright.errors import InputError, OutOfMemoryBudgetError
from scenewright.geometry.mesh.finish import bake_material
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.geometry.mesh.normal_map import smooth_vertex_normals
from scenewright.geometry.mesh.parts import weld_vertices
from scenewright.geometry.mesh.surface_color import AttributeField, Placed, VoxelField
from scenewright.geometry.mesh.uv import unwrap
from scenewright.geometry.ovoxel.dual_grid import mesh_to_dual_grid
from scenewright.geometry.ovoxel.voxelize import fit_unit_cube
from scenewright.geometry.rotation import compose_similarity
from scenewright.progress import SILENT, Progress
from scenewright.samplers.config import SamplingOverride
from scenewright.sparse.tensor import packed_voxels
from scenewright.types import Mesh, Scene, SceneObject, merged_mesh
from scenewright.weights.source import WeightsSource

__all__ = ["Texturer", "TexturingOptions", "scene_parts", "texture_mesh"]


@dataclass(frozen=True)
class TexturingOptions:
    """Options of texturing.

    Attributes:
        resolution: voxels per side, 512, 1024 or 1536.
        texture_size: side of every texture, in texels.
        keep_uv: bake into the mesh's own texture coordinates where it has them.
        steps: of the sampler; None is what is published with the weights.
        max_num_tokens: more than these are refused: attention would take time and memory out of proportion.
    """

    resolution: int = 1024
    texture_size: int = SPEC.finish.texture_size
    keep_uv: bool = True
    steps: int | None = None
    max_num_tokens: int = MAX_NUM_TOKENS

    def __post_init__(self) -> None:
        check_options(SPEC, {"resolution": self.resolution})


@dataclass(frozen=True)
class Texturer:
    """The networks of a texturing pipeline, loaded when they are needed, and the encoder of its pictures."""

    networks: PublishedNetworks
    encoder: Dinov3

    @classmethod
    def from_pretrained(
        cls,
        source: WeightsSource,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> "Texturer":
        """The networks that `texturing_pipeline.json` names.

        Raises:
            WeightsError: files are missing, damaged, or do not fit.
        """
        networks = trellis2_networks(source, pipeline="texturing_pipeline.json", device=device, dtype=dtype)
        return cls(networks, load_named_dinov3(networks.image_encoder, source, device=device)[0])

    @torch.no_grad()
    def encode_mesh(self, mesh: Mesh, resolution: int, progress: Progress = SILENT) -> Posterior:
        """Shape latent of a mesh inside [-0.5, 0.5]^3, with the voxel pyramid a texture decoder follows.

        Raises:
            InputError: the mesh is empty, or all of it is smaller than a voxel.
        """
        on_cpu = Mesh(mesh.vertices.detach().cpu(), mesh.faces.cpu())
        grid = mesh_to_dual_grid(on_cpu, resolution, progress=progress.stage("voxelize"))
        if not len(grid.coords):
            raise InputError(
                f"The mesh crosses no edge of a grid of {resolution} cells, so it has no voxels; use a higher "
                "resolution."
            )
        progress.stage("encode mesh")
        device = self.networks.device
        voxels = packed_voxels([grid.coords], device)
        features = shape_features(voxels, grid.dual_vertices.to(device), grid.intersected.to(device))
        with self.networks.loaned(SHAPE_ENCODER) as encoder:
            return encoder(features)

    def materials(
        self,
        posterior: Posterior,
        picture: Image.Image,
        options: TexturingOptions,
        generator: torch.Generator,
        progress: Progress = SILENT,
    ) -> VoxelField:
        """Materials on the voxels of an encoded mesh, from a prepared picture."""
        networks, latent, size = self.networks, posterior.mean, min(options.resolution, 1024)
        progress.stage("encode picture")
        tokens = encode_pictures([resized_for_encoder(picture, size)], self.encoder).to(networks.device)
        with networks.loaned(texture_flow(size)) as flow:
            noise = latent_noise(len(latent.feats), flow.config.in_channels - latent.feats.shape[1], generator)
            texture = sample_texture_latent(
                flow,
                tokens,
                latent,
                noise,
                networks.sampler("texture").overridden(SamplingOverride(steps=options.steps)),
                networks.statistics("texture"),
                networks.statistics("shape"),
                progress=progress.stage("texture"),
            )
        progress.stage("decode")
        with networks.loaned(TEXTURE_DECODER) as decoder:
            return VoxelField(decode_materials(decoder, texture, posterior.pyramid, options.resolution)[0])


def texture_mesh(
    parts: Sequence[Mesh],
    picture: Image.Image,
    texturer: Texturer,
    *,
    seed: int = 0,
    options: TexturingOptions = TexturingOptions(),
    remove_background: BackgroundRemover | None = None,
    progress: Progress = SILENT,
) -> Scene:
    """The object with one new material, in its own frame.

    Args:
        parts: the object's meshes in one common frame, z up; they become one.
        picture: an RGBA cut-out, or a photograph if `remove_background` is given.

    Raises:
        InputError: no geometry, or no object in the picture.
        OutOfMemoryBudgetError: the object has too many tokens at this resolution.
    """
    mesh = _merged(parts)
    crop = prepare_object(picture, remove_background=remove_background)
    fitted, centre, scale = fit_unit_cube(mesh.vertices.float())
    posterior = texturer.encode_mesh(replace(mesh, vertices=fitted), options.resolution, progress)
    if len(posterior.mean.feats) >= options.max_num_tokens:
        raise OutOfMemoryBudgetError(
            f"The mesh has {len(posterior.mean.feats)} tokens at resolution {options.resolution}, the limit is "
            f"{options.max_num_tokens}; use a lower resolution."
        )
    generator = torch.Generator().manual_seed(seed)
    materials = texturer.materials(posterior, crop, options, generator, progress)
    # Two matrices, since (p - centre) * scale rounds otherwise than p * scale - centre * scale.
    fitted_from_centred = compose_similarity(torch.eye(3), torch.zeros(3), scale)
    centred_from_mesh = compose_similarity(torch.eye(3), -centre)
    textured = _baked(mesh, Placed(Placed(materials, fitted_from_centred), centred_from_mesh), options, progress)
    provenance = {
        "generator": f"scenewright {scenewright.__version__}",
        "system": "single_object/texturing",
        "weights": str(texturer.networks.source),
        "pictures_sha256": [hashlib.sha256(crop.tobytes()).hexdigest()],
        "sampler": asdict(texturer.networks.sampler("texture").overridden(SamplingOverride(steps=options.steps))),
        "seed": seed,
        **asdict(options),
    }
    return Scene((SceneObject(name="object", parts=(textured,)),), provenance=provenance)


def scene_parts(scene: Scene) -> tuple[Mesh, ...]:
    """All meshes of a scene in its world frame.

    Raises:
        InputError: the scene has no mesh.
    """
    parts = [part for placed in scene.objects for part in placed.placed_parts()]
    if not parts:
        raise InputError("Expected a file with at least one mesh, got none; is it a point cloud or a set of splats?")
    return tuple(parts)


def _merged(parts: Sequence[Mesh]) -> Mesh:
    parts = [part for part in parts if len(part.faces)]
    if not parts:
        raise InputError("Expected a mesh with at least one triangle, got none; check that the file holds geometry.")
    mesh = merged_mesh(parts)
    # Several parts usually share one texture square: their coordinates would overlap in a single new texture.
    return Mesh(mesh.vertices.float(), mesh.faces, uv=parts[0].uv if len(parts) == 1 else None)


def _baked(mesh: Mesh, field: AttributeField, options: TexturingOptions, progress: Progress) -> Mesh:
    source = mesh
    if mesh.uv is None or not options.keep_uv:
        progress.stage("unwrap")
        source = unwrap(weld_vertices(replace(mesh, uv=None)), texture_size=options.texture_size)
    source = replace(source, vertex_normals=smooth_vertex_normals(source))
    finish = FinishOptions(texture_size=options.texture_size, double_sided=True)
    return bake_material(source, mesh, field, finish, progress.stage("bake"))
