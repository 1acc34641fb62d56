"""Materials for a given mesh from a picture, with TRELLIS.2: the mesh's own voxels condition the texture flow.

    mesh -> voxels -> shape encoder -> texture flow (picture) -> texture decoder on the same voxels -> bake

Source: trellis2 sheet section 11.2. Geometry is not changed: the result has the input's surface and frame.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import torch
from PIL import Image

import scenewright
from scenewright.backbones.trellis2.config import MAX_NUM_TOKENS
from scenewright.backbones.trellis2.decoding import decode_materials
from scenewright.backbones.trellis2.pretrained import Trellis2
from scenewright.backbones.trellis2.sampling import latent_noise, sample_texture_latent
from scenewright.backbones.trellis2.shape_vae import shape_features
from scenewright.backbones.trellis2.sparse_unet import Posterior
from scenewright.encoders.dinov3 import Dinov3
from scenewright.encoders.preprocess.crop import BackgroundRemover
from scenewright.encoders.preprocess.trellis2 import prepare_object
from scenewright.errors import InputError, OutOfMemoryBudgetError
from scenewright.geometry.mesh.finish import FinishOptions, bake_material
from scenewright.geometry.mesh.normal_map import smooth_vertex_normals
from scenewright.geometry.mesh.parts import weld_vertices
from scenewright.geometry.mesh.surface_color import AttributeField, Placed, VoxelField
from scenewright.geometry.mesh.uv import unwrap
from scenewright.geometry.ovoxel.dual_grid import mesh_to_dual_grid
from scenewright.geometry.ovoxel.voxelize import fit_unit_cube
from scenewright.geometry.rotation import compose_similarity
from scenewright.samplers.config import SamplerConfig
from scenewright.sparse.tensor import VoxelSet
from scenewright.systems.single_object.trellis2 import StageProgress, encode_picture
from scenewright.types import Mesh, Scene, SceneObject, merged_mesh

__all__ = ["TexturingOptions", "encode_mesh", "scene_parts", "texture_mesh"]


@dataclass(frozen=True)
class TexturingOptions:
    """How to texture; a sampler of None is the one published with the weights.

    `keep_uv` bakes into the mesh's own texture coordinates where it has them.
    """

    seed: int = 42
    resolution: int = 1024
    texture_size: int = 2048
    keep_uv: bool = True
    max_num_tokens: int = MAX_NUM_TOKENS
    sampler: SamplerConfig | None = None


def texture_mesh(
    parts: Sequence[Mesh],
    picture: Image.Image,
    networks: Trellis2,
    encoder: Dinov3,
    options: TexturingOptions = TexturingOptions(),
    *,
    remove_background: BackgroundRemover | None = None,
    progress: StageProgress | None = None,
) -> Scene:
    """The object with one new material, in its own frame.

    Args:
        parts: the object's meshes in one common frame, z up; they become one.
        networks: of `texturing_pipeline.json`.
        progress: called with a stage's name and the fraction of it that is done.

    Raises:
        InputError: no geometry, or no object in the picture.
        OutOfMemoryBudgetError: the object has too many tokens at this resolution.
    """
    report = progress or (lambda stage, done: None)
    mesh = _merged(parts)
    crop = prepare_object(picture, remove_background=remove_background)
    report("encode picture", 0.0)
    size = min(options.resolution, 1024)
    tokens = encode_picture(crop, encoder, (size,), device=networks.device)[size]

    fitted, centre, scale = fit_unit_cube(mesh.vertices.float())
    posterior = encode_mesh(replace(mesh, vertices=fitted), options.resolution, networks, report)
    latent = posterior.mean
    if len(latent.feats) >= options.max_num_tokens:
        raise OutOfMemoryBudgetError(
            f"The mesh has {len(latent.feats)} tokens at resolution {options.resolution}, the limit is "
            f"{options.max_num_tokens}; use a lower resolution."
        )
    generator = torch.Generator().manual_seed(options.seed)
    sampler = options.sampler or networks.sampler("texture")
    flow = networks.network(f"tex_slat_flow_model_{size}")
    noise = latent_noise(len(latent.feats), flow.config.in_channels - latent.feats.shape[1], generator)
    texture = sample_texture_latent(
        flow,
        tokens,
        latent,
        noise,
        sampler,
        networks.texture_statistics,
        networks.shape_statistics,
        progress=lambda step, steps: report("texture", step / steps),
    )
    del flow
    report("decode", 0.0)
    decoder = networks.network("tex_slat_decoder")
    field = VoxelField(decode_materials(decoder, texture, posterior.pyramid, options.resolution)[0])
    # Two matrices, since (p - centre) * scale rounds otherwise than p * scale - centre * scale.
    fitted_from_centred = compose_similarity(torch.eye(3), torch.zeros(3), scale)
    centred_from_mesh = compose_similarity(torch.eye(3), -centre)
    textured = _baked(mesh, Placed(Placed(field, fitted_from_centred), centred_from_mesh), options, report)
    provenance = {
        "generator": f"scenewright {scenewright.__version__}",
        "system": "single_object/texturing",
        "weights": networks.source,
        "pictures_sha256": [hashlib.sha256(crop.tobytes()).hexdigest()],
        "sampler": asdict(sampler),
        **{name: value for name, value in asdict(options).items() if name != "sampler"},
    }
    return Scene((SceneObject(name="object", parts=(textured,)),), provenance=provenance)


@torch.no_grad()
def encode_mesh(mesh: Mesh, resolution: int, networks: Trellis2, progress: StageProgress | None = None) -> Posterior:
    """Shape latent of a mesh inside [-0.5, 0.5]^3, with the voxel pyramid a texture decoder follows.

    Raises:
        InputError: the mesh is empty, or all of it is smaller than a voxel.
    """
    report = progress or (lambda stage, done: None)
    on_cpu = Mesh(mesh.vertices.detach().cpu(), mesh.faces.cpu())
    grid = mesh_to_dual_grid(on_cpu, resolution, progress=lambda done: report("voxelize", done))
    if not len(grid.coords):
        raise InputError(
            f"The mesh crosses no edge of a grid of {resolution} cells, so it has no voxels; use a higher resolution."
        )
    report("encode mesh", 0.0)
    device = networks.device
    voxels = VoxelSet(torch.nn.functional.pad(grid.coords, (1, 0)).int().to(device))
    features = shape_features(voxels, grid.dual_vertices.to(device), grid.intersected.to(device))
    return networks.network("shape_slat_encoder")(features)


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


def _baked(
    mesh: Mesh,
    field: AttributeField,
    options: TexturingOptions,
    report: StageProgress,
) -> Mesh:
    source = mesh
    if mesh.uv is None or not options.keep_uv:
        report("unwrap", 0.0)
        source = unwrap(weld_vertices(replace(mesh, uv=None)), texture_size=options.texture_size)
    source = replace(source, vertex_normals=smooth_vertex_normals(source))
    finish = FinishOptions(texture_size=options.texture_size, double_sided=True)
    return bake_material(source, mesh, field, finish, lambda done: report("bake", done))
