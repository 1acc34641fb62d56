"""USD (.usda, .usdc, .usdz) through usd-core: a prim per object with transform, materials and physics; only written.

z is up, metres. Materials are UsdPreviewSurface; pictures lie in `NAME_textures` beside the file or in it (.usdz).
Objects are UsdPhysics rigid bodies with convex colliders that are not drawn; the stage has a physics scene and a light.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from scenewright.errors import InputError, MissingExtraError
from scenewright.io.atomic import make_folder, write_together
from scenewright.io.format import Content, Format
from scenewright.io.images import encode_png
from scenewright.io.rigid_bodies import BodyMesh, RigidBody, rigid_bodies
from scenewright.types import Mesh, Scene

__all__ = ["USD_FORMATS", "save_usd"]


def save_usd(scene: Scene, path: str | Path) -> Path:
    """Write the stage and its textures; returns the path.

    Raises:
        InputError: no object has triangles, or the folder cannot be written.
        MissingExtraError: usd-core is not installed.
    """
    path = Path(path)
    try:
        from pxr import Sdf, UsdUtils
    except ImportError as error:
        raise MissingExtraError("Writing USD", "usd") from error
    bodies = rigid_bodies(scene, path)
    is_packed = path.suffix.lower() == ".usdz"
    with tempfile.TemporaryDirectory() as work:
        layer = Path(work) / (f"{path.stem}.usdc" if is_packed else path.name)
        pictures = _write_stage(bodies, layer)
        if is_packed:
            package = layer.with_suffix(".usdz")
            if not UsdUtils.CreateNewUsdzPackage(Sdf.AssetPath(str(layer)), str(package)):
                raise InputError(f"USD could not pack '{path}'; write .usdc instead.")
            layer, pictures = package, []
        if pictures:
            make_folder(path.parent / pictures[0].parent)
        targets = [*(path.parent / picture for picture in pictures), path]
        with write_together(*targets) as temporaries:
            for temporary, source in zip(temporaries, [*pictures, Path(layer.name)], strict=True):
                shutil.copyfile(Path(work) / source, temporary)
    return path


def _write_stage(bodies: tuple[RigidBody, ...], file: Path) -> list[Path]:
    """Writes `file`; gives its pictures, relative to it."""
    from pxr import Gf, Usd, UsdGeom, UsdLux, UsdPhysics

    stage = Usd.Stage.CreateNew(str(file))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    world = UsdGeom.Xform.Define(stage, "/world")
    stage.SetDefaultPrim(world.GetPrim())
    gravity = UsdPhysics.Scene.Define(stage, "/world/physics_scene")
    gravity.CreateGravityDirectionAttr(Gf.Vec3f(0, 0, -1))
    gravity.CreateGravityMagnitudeAttr(9.81)
    UsdLux.DomeLight.Define(stage, "/world/dome_light").CreateIntensityAttr(1000.0)
    pictures: list[Path] = []
    for body in bodies:
        pictures += _add_body(stage, body, file)
    stage.GetRootLayer().Save()
    return pictures


def _add_body(stage: Any, body: RigidBody, file: Path) -> list[Path]:
    from pxr import Gf, UsdGeom, UsdPhysics, UsdShade

    prim_path = f"/world/{body.name}"
    form = UsdGeom.Xform.Define(stage, prim_path)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = body.rotation, body.translation
    form.AddTransformOp().Set(Gf.Matrix4d(*matrix.T.reshape(-1).tolist()))  # USD's vectors are rows
    prim = form.GetPrim()
    if not body.physics.is_static:
        UsdPhysics.RigidBodyAPI.Apply(prim)
        mass = UsdPhysics.MassAPI.Apply(prim)
        mass.CreateMassAttr(body.mass.volume)
        mass.CreateCenterOfMassAttr(Gf.Vec3f(*body.mass.centre.tolist()))
    surface = UsdShade.Material.Define(stage, f"{prim_path}/friction")
    friction = UsdPhysics.MaterialAPI.Apply(surface.GetPrim())
    friction.CreateStaticFrictionAttr(body.physics.friction)
    friction.CreateDynamicFrictionAttr(body.physics.friction)
    friction.CreateRestitutionAttr(body.physics.restitution)
    pictures = []
    for number, visual in enumerate(body.visuals):
        mesh = _define_mesh(stage, f"{prim_path}/part_{number}", visual.mesh)
        material, picture = _define_material(stage, f"{prim_path}/material_{number}", visual, file)
        UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
        pictures += [] if picture is None else [picture]
    for number, collider in enumerate(body.colliders):
        mesh = _define_mesh(stage, f"{prim_path}/collider_{number}", collider.mesh)
        mesh.CreatePurposeAttr(UsdGeom.Tokens.guide)
        UsdPhysics.CollisionAPI.Apply(mesh.GetPrim())
        UsdPhysics.MeshCollisionAPI.Apply(mesh.GetPrim()).CreateApproximationAttr("convexHull")
        UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(
            surface, UsdShade.Tokens.weakerThanDescendants, "physics"
        )
    return pictures


def _define_mesh(stage: Any, path: str, mesh: Mesh) -> Any:
    from pxr import Sdf, UsdGeom, Vt

    prim = UsdGeom.Mesh.Define(stage, path)
    points = np.ascontiguousarray(mesh.vertices.detach().cpu().numpy(), np.float32)
    prim.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(points))
    prim.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(mesh.faces), 3, np.int32)))
    faces = np.ascontiguousarray(mesh.faces.cpu().numpy().reshape(-1), np.int32)
    prim.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces))
    prim.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    prim.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(np.stack([points.min(0), points.max(0)])))
    if mesh.uv is not None:
        # glTF's v points down, USD's up.
        uv = mesh.uv.detach().cpu().numpy().astype(np.float32) * [1, -1] + [0, 1]
        variable = UsdGeom.PrimvarsAPI(prim).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, "vertex")
        variable.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(uv, np.float32)))
    return prim


def _define_material(stage: Any, path: str, visual: BodyMesh, file: Path) -> tuple[Any, Path | None]:
    from pxr import Gf, Sdf, UsdShade

    look = visual.material
    material = UsdShade.Material.Define(stage, path)
    shader = UsdShade.Shader.Define(stage, f"{path}/surface")
    shader.CreateIdAttr("UsdPreviewSurface")
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(look.roughness_factor)
    shader.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(look.metallic_factor)
    shader.CreateInput("opacity", Sdf.ValueTypeNames.Float).Set(look.base_color_factor[3])
    color = shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f)
    color.Set(Gf.Vec3f(*look.base_color_factor[:3]))
    if visual.texture is None or look.base_color_texture is None:
        return material, None
    picture = Path(f"{file.stem}_textures") / f"{visual.file.stem}.png"
    make_folder(file.parent / picture.parent)
    (file.parent / picture).write_bytes(encode_png(look.base_color_texture))
    reader = UsdShade.Shader.Define(stage, f"{path}/coordinates")
    reader.CreateIdAttr("UsdPrimvarReader_float2")
    reader.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
    texture = UsdShade.Shader.Define(stage, f"{path}/base_color")
    texture.CreateIdAttr("UsdUVTexture")
    texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(picture.as_posix())
    texture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set("sRGB")
    texture.CreateInput("scale", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(*look.base_color_factor))
    for axis in "ST":
        texture.CreateInput(f"wrap{axis}", Sdf.ValueTypeNames.Token).Set("repeat")
    coordinates = reader.CreateOutput("result", Sdf.ValueTypeNames.Float2)
    texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(coordinates)
    color.ConnectToSource(texture.CreateOutput("rgb", Sdf.ValueTypeNames.Float3))
    return material, picture


_HOLDS: frozenset[Content] = frozenset({"meshes", "objects", "materials", "textures", "physics"})
USD_FORMATS = tuple(Format(f"USD ({suffix})", suffix, _HOLDS, None, save_usd) for suffix in (".usda", ".usdc", ".usdz"))
