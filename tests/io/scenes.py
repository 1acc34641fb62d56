"""Small scenes that exercise every feature of the scene files."""

import torch

from scenewright.geometry.rotation import compose_similarity, yaw_to_matrix
from scenewright.types import Camera, Gaussians, Mesh, PBRMaterial, Scene, SceneObject

TETRAHEDRON = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])


def tetrahedron(**attributes) -> Mesh:
    vertices = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return Mesh(vertices, TETRAHEDRON, **attributes)


def picture(height: int, width: int, channels: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (height, width, channels), generator=generator, dtype=torch.uint8)


def placed(yaw: float, translation: list[float], scale: float) -> torch.Tensor:
    return compose_similarity(yaw_to_matrix(torch.tensor(yaw)), torch.tensor(translation), scale)


def camera() -> Camera:
    return Camera(
        intrinsics_px=torch.tensor([[500.0, 0.0, 330.5], [0.0, 480.0, 250.0], [0.0, 0.0, 1.0]]),
        cam_from_world=torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 1.2], [0, 1, 0, 3], [0, 0, 0, 1]]),
        width=640,
        height=480,
    )


def rich_scene() -> Scene:
    """Two objects: one with every material feature and two parts, one plain; a camera, extras and provenance."""
    uv = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    textured = PBRMaterial(
        base_color_factor=(0.5, 0.25, 1.0, 0.75),
        metallic_factor=0.5,
        roughness_factor=0.25,
        emissive_factor=(0.1, 0.0, 0.0),
        base_color_texture=picture(8, 16, 4),
        metallic_roughness_texture=picture(4, 4, 3, seed=1),
        normal_texture=torch.full((2, 2, 3), 128, dtype=torch.uint8),
        alpha_mode="MASK",
        alpha_cutoff=0.25,
        double_sided=True,
        name="oak",
    )
    glass = PBRMaterial(base_color_factor=(1.0, 1.0, 1.0, 0.5), alpha_mode="BLEND", name="glass")
    normals = torch.nn.functional.normalize(tetrahedron().vertices - 0.25, dim=1)
    colors = torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 1.0], [0.0, 0.0, 1.0, 1.0], [1.0, 1.0, 1.0, 0.5]])
    table = SceneObject(
        name="table",
        parts=(
            tetrahedron(vertex_normals=normals, uv=uv, material=textured),
            tetrahedron(vertex_colors=colors, material=glass),
        ),
        world_from_object=placed(0.7, [1.0, 2.0, 0.5], 1.5),
        confidence=0.875,
        extras={"category": "furniture", "size_m": [1.0, 2.0, 3.0]},
    )
    lamp = SceneObject(name="lamp", parts=(tetrahedron(),))
    return Scene((table, lamp), cameras={"camera": camera()}, is_metric=True, provenance={"system": "test", "seed": 7})


def gaussians(count: int, seed: int = 0) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=generator)

    quaternions = torch.randn(count, 4, generator=generator)
    return Gaussians(
        means=uniform(count, 3) - 0.5,
        scales=0.001 + 0.05 * uniform(count, 3),
        quaternions_wxyz=quaternions / quaternions.norm(dim=1, keepdim=True).clamp(min=1e-12),
        opacities=0.02 + 0.96 * uniform(count),
        sh=uniform(count, 1, 3) - 0.5,
    )
