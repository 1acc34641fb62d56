"""USD (.usda, .usdc, .usdz) through usd-core: a prim per object with transform, materials and physics; only written.

z is up, metres unless another unit is asked for. Materials are UsdPreviewSurface; pictures lie in `NAME_textures`
beside the file or in it (.usdz). Objects are UsdPhysics rigid bodies with convex colliders that are not drawn; the
stage has a physics scene, a light, the cameras, and below a scene without a shell a ground plane at its floor.
"""

import logging
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scenewright.errors import InputError, MissingExtraError
from scenewright.geometry.frames import CVCAM_FROM_GLTFCAM
from scenewright.io.atomic import make_folder, write_together
from scenewright.io.format import Content, Format
from scenewright.io.images import encode_png
from scenewright.io.rigid_bodies import BodyMesh, RigidBody, floor_height, identifier, rigid_bodies
from scenewright.types import Camera, Mesh, PanoramaCamera, Scene

__all__ = ["USD_FORMATS", "save_usd"]

logger = logging.getLogger(__name__)

# Of a camera whose sensor is not known: 50 mm in tenths of a metre.
_FOCAL_LENGTH = 0.5
# USD's own default begins at one unit: whatever is nearer would be cut off.
_CLIPPING_M = (0.01, 1000.0)


def save_usd(scene: Scene, path: str | Path, *, metres_per_unit: float = 1.0) -> Path:
    """Write the stage and its textures; returns the path.

    Args:
        metres_per_unit: length of the stage's unit; 0.01 writes centimetres.

    Raises:
        InputError: no object has triangles, or the folder cannot be written.
        MissingExtraError: usd-core is not installed.
    """
    path = Path(path)
    try:
        from pxr import Sdf, Tf
    except ImportError as error:
        raise MissingExtraError("Writing USD", "usd") from error
    bodies = rigid_bodies(scene, path)
    is_packed = path.suffix.lower() == ".usdz"
    with tempfile.TemporaryDirectory() as work:
        layer = Path(work) / (f"{path.stem}.usdc" if is_packed else path.name)
        try:
            pictures = _write_stage(scene, bodies, layer, 1 / metres_per_unit)
        except Tf.ErrorException as error:  # such as a full disk
            reason = (re.findall(r"'([^']*)'\s*$", str(error), re.MULTILINE) or [type(error).__name__])[0]
            raise InputError(f"Cannot write '{path}': {reason.rstrip('.')}.") from error
        if is_packed:
            package = layer.with_suffix(".usdz")
            archive = Sdf.ZipFileWriter.CreateNew(str(package))
            for name in (layer.name, *(picture.as_posix() for picture in pictures)):
                archive.AddFile(str(Path(work) / name), name)
            archive.Save()
            layer, pictures = package, []
        if pictures:
            make_folder(path.parent / pictures[0].parent)
        targets = [*(path.parent / picture for picture in pictures), path]
        with write_together(*targets) as temporaries:
            for temporary, source in zip(temporaries, [*pictures, Path(layer.name)], strict=True):
                shutil.copyfile(Path(work) / source, temporary)
    return path


def _write_stage(scene: Scene, bodies: tuple[RigidBody, ...], file: Path, units: float) -> list[Path]:
    """Writes `file` with `units` per metre; gives its pictures, relative to it."""
    from pxr import Gf, Usd, UsdGeom, UsdLux, UsdPhysics

    stage = Usd.Stage.CreateNew(str(file))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1 / units)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    world = UsdGeom.Xform.Define(stage, "/world")
    stage.SetDefaultPrim(world.GetPrim())
    gravity = UsdPhysics.Scene.Define(stage, "/world/physics_scene")
    gravity.CreateGravityDirectionAttr(Gf.Vec3f(0, 0, -1))
    gravity.CreateGravityMagnitudeAttr(9.81 * units)
    UsdLux.DomeLight.Define(stage, "/world/dome_light").CreateIntensityAttr(1000.0)
    if (floor := floor_height(scene)) is not None:
        plane = UsdGeom.Plane.Define(stage, "/world/floor_plane")
        plane.CreateAxisAttr(UsdGeom.Tokens.z)
        plane.CreatePurposeAttr(UsdGeom.Tokens.guide)
        _place(plane, np.eye(3), np.array([0, 0, floor * units]))
        UsdPhysics.CollisionAPI.Apply(plane.GetPrim())
    _add_cameras(stage, scene.cameras, units)
    pictures: list[Path] = []
    for body in bodies:
        pictures += _add_body(stage, body, file, units)
    stage.GetRootLayer().Save()
    return pictures


def _place(form: Any, rotation: Float[np.ndarray, "3 3"], translation: Float[np.ndarray, "3"]) -> None:
    from pxr import Gf

    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation, translation
    form.AddTransformOp().Set(Gf.Matrix4d(*matrix.T.reshape(-1).tolist()))  # USD's vectors are rows


def _add_cameras(stage: Any, cameras: Mapping[str, Camera | PanoramaCamera], units: float) -> None:
    """Cameras as USD has them: y up, looking along -z; lengths of the lens in tenths of a unit."""
    from pxr import Gf, UsdGeom

    taken: set[str] = set()
    for name, camera in cameras.items():
        if isinstance(camera, PanoramaCamera):
            logger.warning("USD has no panoramic cameras, so '%s' is left out.", name)
            continue
        word = identifier(name, taken)
        taken.add(word)
        UsdGeom.Scope.Define(stage, "/world/cameras")
        lens = UsdGeom.Camera.Define(stage, f"/world/cameras/{word}")
        world_from_cam = torch.linalg.inv(camera.cam_from_world.detach().cpu().double()) @ CVCAM_FROM_GLTFCAM
        _place(lens, world_from_cam[:3, :3].numpy(), world_from_cam[:3, 3].numpy() * units)
        k = camera.intrinsics_px.detach().cpu().double()
        lens.CreateClippingRangeAttr(Gf.Vec2f(*(length * units for length in _CLIPPING_M)))
        focal = _FOCAL_LENGTH * units
        lens.CreateFocalLengthAttr(focal)
        lens.CreateHorizontalApertureAttr(focal * camera.width / float(k[0, 0]))
        lens.CreateVerticalApertureAttr(focal * camera.height / float(k[1, 1]))
        lens.CreateHorizontalApertureOffsetAttr(focal * (camera.width / 2 - float(k[0, 2])) / float(k[0, 0]))
        lens.CreateVerticalApertureOffsetAttr(focal * (float(k[1, 2]) - camera.height / 2) / float(k[1, 1]))


def _add_body(stage: Any, body: RigidBody, file: Path, units: float) -> list[Path]:
    from pxr import Gf, UsdGeom, UsdPhysics, UsdShade

    prim_path = f"/world/{body.name}"
    form = UsdGeom.Xform.Define(stage, prim_path)
    _place(form, body.rotation, body.translation * units)
    prim = form.GetPrim()
    if not body.physics.is_static:
        UsdPhysics.RigidBodyAPI.Apply(prim)
        mass = UsdPhysics.MassAPI.Apply(prim)
        mass.CreateMassAttr(body.mass.volume)
        mass.CreateCenterOfMassAttr(Gf.Vec3f(*(body.mass.centre * units).tolist()))
    surface = UsdShade.Material.Define(stage, f"{prim_path}/friction")
    friction = UsdPhysics.MaterialAPI.Apply(surface.GetPrim())
    friction.CreateStaticFrictionAttr(body.physics.friction)
    friction.CreateDynamicFrictionAttr(body.physics.friction)
    friction.CreateRestitutionAttr(body.physics.restitution)
    pictures = []
    for number, visual in enumerate(body.visuals):
        mesh = _define_mesh(stage, f"{prim_path}/{body.name}_part_{number}", visual.mesh, units)
        material, found = _define_material(stage, f"{prim_path}/material_{number}", visual, file)
        UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)
        pictures += found
    for number, collider in enumerate(body.colliders):
        mesh = _define_mesh(stage, f"{prim_path}/collider_{number}", collider.mesh, units)
        mesh.CreatePurposeAttr(UsdGeom.Tokens.guide)
        UsdPhysics.CollisionAPI.Apply(mesh.GetPrim())
        UsdPhysics.MeshCollisionAPI.Apply(mesh.GetPrim()).CreateApproximationAttr("convexHull")
        UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(
            surface, UsdShade.Tokens.weakerThanDescendants, "physics"
        )
    return pictures


def _define_mesh(stage: Any, path: str, mesh: Mesh, units: float) -> Any:
    from pxr import Sdf, UsdGeom, Vt

    prim = UsdGeom.Mesh.Define(stage, path)
    points = np.ascontiguousarray(mesh.vertices.detach().cpu().numpy() * units, np.float32)
    prim.CreatePointsAttr(Vt.Vec3fArray.FromNumpy(points))
    prim.CreateFaceVertexCountsAttr(Vt.IntArray.FromNumpy(np.full(len(mesh.faces), 3, np.int32)))
    faces = np.ascontiguousarray(mesh.faces.cpu().numpy().reshape(-1), np.int32)
    prim.CreateFaceVertexIndicesAttr(Vt.IntArray.FromNumpy(faces))
    prim.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    if mesh.material is not None and mesh.material.double_sided:
        prim.CreateDoubleSidedAttr(True)
    if mesh.vertex_normals is not None:
        normals = np.ascontiguousarray(mesh.vertex_normals.detach().cpu().numpy(), np.float32)
        prim.CreateNormalsAttr(Vt.Vec3fArray.FromNumpy(normals))
        prim.SetNormalsInterpolation(UsdGeom.Tokens.vertex)
    prim.CreateExtentAttr(Vt.Vec3fArray.FromNumpy(np.stack([points.min(0), points.max(0)])))
    if mesh.uv is not None:
        # glTF's v points down, USD's up.
        uv = mesh.uv.detach().cpu().numpy().astype(np.float32) * [1, -1] + [0, 1]
        variable = UsdGeom.PrimvarsAPI(prim).CreatePrimvar("st", Sdf.ValueTypeNames.TexCoord2fArray, "vertex")
        variable.Set(Vt.Vec2fArray.FromNumpy(np.ascontiguousarray(uv, np.float32)))
    return prim


def _define_material(stage: Any, path: str, visual: BodyMesh, file: Path) -> tuple[Any, list[Path]]:
    from pxr import Gf, Sdf, UsdShade

    look = visual.material
    material = UsdShade.Material.Define(stage, path)
    shader = UsdShade.Shader.Define(stage, f"{path}/surface")
    shader.CreateIdAttr("UsdPreviewSurface")
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    floats = Sdf.ValueTypeNames.Float
    roughness = shader.CreateInput("roughness", floats)
    roughness.Set(look.roughness_factor)
    metallic = shader.CreateInput("metallic", floats)
    metallic.Set(look.metallic_factor)
    opacity = shader.CreateInput("opacity", floats)
    opacity.Set(1.0 if look.alpha_mode == "OPAQUE" else look.base_color_factor[3])
    if look.alpha_mode == "MASK":
        shader.CreateInput("opacityThreshold", floats).Set(look.alpha_cutoff)
    color = shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f)
    color.Set(Gf.Vec3f(*look.base_color_factor[:3]))
    emission = shader.CreateInput("emissiveColor", Sdf.ValueTypeNames.Color3f)
    emission.Set(Gf.Vec3f(*look.emissive_factor))
    pictures: list[Path] = []

    def reader(name: str, pixels: UInt8[Tensor, "height width channels"] | None, scale: Any, space: str) -> Any:
        """A node that reads `pixels` from a picture of its own; None where there are none."""
        if pixels is None or visual.mesh.uv is None:
            return None
        picture = Path(f"{file.stem}_textures") / f"{visual.file.stem}_{name}.png"
        make_folder(file.parent / picture.parent)
        (file.parent / picture).write_bytes(encode_png(pixels))
        pictures.append(picture)
        coordinates = UsdShade.Shader.Define(stage, f"{path}/coordinates")
        coordinates.CreateIdAttr("UsdPrimvarReader_float2")
        coordinates.CreateInput("varname", Sdf.ValueTypeNames.String).Set("st")
        texture = UsdShade.Shader.Define(stage, f"{path}/{name}")
        texture.CreateIdAttr("UsdUVTexture")
        texture.CreateInput("file", Sdf.ValueTypeNames.Asset).Set(picture.as_posix())
        texture.CreateInput("sourceColorSpace", Sdf.ValueTypeNames.Token).Set(space)
        texture.CreateInput("scale", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(*scale))
        for axis, wrap in zip("ST", look.wrap, strict=True):
            texture.CreateInput(f"wrap{axis}", Sdf.ValueTypeNames.Token).Set(wrap)
        place = coordinates.CreateOutput("result", Sdf.ValueTypeNames.Float2)
        texture.CreateInput("st", Sdf.ValueTypeNames.Float2).ConnectToSource(place)
        return texture

    base = reader("base_color", look.base_color_texture, look.base_color_factor, "sRGB")
    if base is not None:
        color.ConnectToSource(base.CreateOutput("rgb", Sdf.ValueTypeNames.Float3))
        if look.alpha_mode != "OPAQUE":
            opacity.ConnectToSource(base.CreateOutput("a", floats))  # 1 where the picture has no alpha
    scale = (1.0, look.roughness_factor, look.metallic_factor, 1.0)
    if (finish := reader("metallic_roughness", look.metallic_roughness_texture, scale, "raw")) is not None:
        roughness.ConnectToSource(finish.CreateOutput("g", floats))
        metallic.ConnectToSource(finish.CreateOutput("b", floats))
    if (bumps := reader("normal", look.normal_texture, (2.0, 2.0, 2.0, 1.0), "raw")) is not None:
        # Eight bits to [-1, 1], as the specification of UsdPreviewSurface asks for.
        bumps.CreateInput("bias", Sdf.ValueTypeNames.Float4).Set(Gf.Vec4f(-1, -1, -1, 0))
        normal = shader.CreateInput("normal", Sdf.ValueTypeNames.Normal3f)
        normal.ConnectToSource(bumps.CreateOutput("rgb", Sdf.ValueTypeNames.Float3))
    shade = None if look.occlusion_texture is None else look.occlusion_texture.expand(-1, -1, 3)
    if (shaded := reader("occlusion", shade, (1.0, 1.0, 1.0, 1.0), "raw")) is not None:
        occlusion = shader.CreateInput("occlusion", floats)
        occlusion.ConnectToSource(shaded.CreateOutput("r", floats))
    glow = reader("emissive", look.emissive_texture, (*look.emissive_factor, 1.0), "sRGB")
    if glow is not None:
        emission.ConnectToSource(glow.CreateOutput("rgb", Sdf.ValueTypeNames.Float3))
    return material, pictures


_HOLDS: frozenset[Content] = frozenset({"meshes", "objects", "materials", "textures", "physics", "cameras"})
USD_FORMATS = tuple(Format(f"USD ({suffix})", suffix, _HOLDS, None, save_usd) for suffix in (".usda", ".usdc", ".usdz"))
