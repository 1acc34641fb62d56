"""Wavefront OBJ with its materials (.mtl) and textures beside it: named objects, placed in the world.

Materials are Kd (sRGB encoded), d, Ke, Pr, Pm (the PBR extension of the format; else Ns) and the maps map_Kd, map_Pr,
map_Pm, map_Ke and norm; vertex colours follow the positions. OBJ does not say which axis is up; by custom it is y.
trimesh parses the faces; files that an OBJ names are read from its own folder only.
"""

import io
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from scenewright.errors import InputError
from scenewright.files import read_file, reading, spend
from scenewright.geometry.color import linear_from_srgb, srgb_from_linear
from scenewright.geometry.frames import yup_from_zup, zup_from_yup
from scenewright.io.atomic import write_together
from scenewright.io.format import Format
from scenewright.io.glb import read_beside
from scenewright.io.images import decode_image, encode_png, pixels_of
from scenewright.io.mesh_file import MAX_BYTES
from scenewright.io.obj_polygons import without_folds
from scenewright.types import Mesh, PBRMaterial, Scene, SceneObject

__all__ = ["OBJ", "load_obj", "obj_files", "parse_obj", "save_obj"]

logger = logging.getLogger(__name__)

# The lists and copies of a parser of text.
_BYTES_PER_BYTE = 24
# Names of bodies are at most as long; file systems take 255 bytes.
_LONGEST_WORD = 120


def save_obj(scene: Scene, path: str | Path) -> Path:
    """Write `path`, and beside it `NAME.mtl` and `NAME_*.png` where there are materials and textures; returns the path.

    Raises:
        InputError: geometry that is not finite, or the folder cannot be written.
    """
    files = obj_files(scene, Path(path))
    with write_together(*files) as temporaries:
        for temporary, content in zip(temporaries, files.values(), strict=True):
            temporary.write_bytes(content)
    return Path(path)


def obj_files(scene: Scene, path: Path, *, up: Literal["y", "z"] = "y") -> dict[Path, bytes]:
    """The content of the .obj at `path` and of the files beside it, which come first; simulators take z as up.

    Raises:
        InputError: geometry that is not finite.
    """
    names: dict[int, str] = {}
    words: set[str] = set()
    files: dict[Path, bytes] = {}
    materials: list[str] = []
    lines: list[str] = []
    starts = [1, 1, 1]  # of positions, texture coordinates, normals
    called: set[str] = set()
    for number, item in enumerate(scene.objects):
        called.add(name := _unused(_word(item.name) or f"object_{number}", called))
        lines.append(f"o {name}")
        for part in item.placed_parts():
            material = part.material
            if material is not None and id(material) not in names:
                names[id(material)] = _unused(_word(material.name) or "material", set(names.values()))
                word = _free_file_word(names[id(material)], words)
                materials += _material_lines(
                    material, names[id(material)], path.with_name(f"{path.stem}_{word}"), files
                )
            lines += _part_lines(part, "" if material is None else names[id(material)], starts, up)
    if materials:
        files[path.with_suffix(".mtl")] = "\n".join([*materials, ""]).encode()
        lines.insert(0, f"mtllib {path.with_suffix('.mtl').name}")
    files[path] = "\n".join([*lines, ""]).encode()
    return files


def _word(name: str) -> str:
    """The name as one word of a line that ends behind it: a backslash would join the next line to it."""
    word = re.sub(r"[\s\0-\x1f\x7f]+", "_", name.strip()).encode(errors="replace").decode()
    return re.sub(r"\\$", "_", word)


def _free_file_word(name: str, used: set[str]) -> str:
    """The name as part of a file's name on any system, where capitals may not count; joins those that are used."""
    word = re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:_LONGEST_WORD]
    suffix = _unused(word.lower(), used)[len(word) :]
    used.add(f"{word}{suffix}".lower())
    return word + suffix


def _unused(name: str, used: set[str]) -> str:
    numbered = (f"{name}_{number}" if number else name for number in range(len(used) + 1))
    return next(candidate for candidate in numbered if candidate not in used)


def _part_lines(part: Mesh, material: str, starts: list[int], up: str) -> list[str]:
    if not bool(part.vertices.isfinite().all()):
        raise InputError("An object has coordinates that are not finite, so it cannot be written.")
    turned = yup_from_zup if up == "y" else torch.clone
    positions = turned(part.vertices.detach().cpu())
    if part.vertex_colors is not None:
        positions = torch.cat([positions, srgb_from_linear(part.vertex_colors.detach().cpu()[:, :3])], 1)
    columns = [("v", positions)]
    if part.uv is not None:
        columns.append(("vt", part.uv.detach().cpu() * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])))
    if part.vertex_normals is not None:
        columns.append(("vn", turned(part.vertex_normals.detach().cpu())))
    lines = [f"{key} {' '.join(f'{value:.9g}' for value in row)}" for key, rows in columns for row in rows.tolist()]
    if material:
        lines.append(f"usemtl {material}")
    first, second, third = starts
    corner = {
        (False, False): lambda i: f"{first + i}",
        (True, False): lambda i: f"{first + i}/{second + i}",
        (False, True): lambda i: f"{first + i}//{third + i}",
        (True, True): lambda i: f"{first + i}/{second + i}/{third + i}",
    }[part.uv is not None, part.vertex_normals is not None]
    lines += [f"f {' '.join(corner(index) for index in face)}" for face in part.faces.tolist()]
    count = len(part.vertices)
    starts[0] += count
    starts[1] += count if part.uv is not None else 0
    starts[2] += count if part.vertex_normals is not None else 0
    return lines


def _material_lines(material: PBRMaterial, name: str, stem: Path, files: dict[Path, bytes]) -> list[str]:
    """The lines of a material; its pictures, whose paths begin with `stem`, join `files`."""
    color = srgb_from_linear(torch.tensor(material.base_color_factor[:3], dtype=torch.float64)).tolist()
    lines = [
        f"newmtl {name}",
        f"Kd {' '.join(f'{value:.6g}' for value in color)}",
        f"d {material.base_color_factor[3]:.6g}",
        f"Pr {material.roughness_factor:.6g}",
        f"Pm {material.metallic_factor:.6g}",
    ]
    if any(material.emissive_factor):
        lines.append(f"Ke {' '.join(f'{value:.6g}' for value in material.emissive_factor)}")
    packed = material.metallic_roughness_texture
    maps = {
        "map_Kd": material.base_color_texture,
        "map_Pr": None if packed is None else packed[..., 1],
        "map_Pm": None if packed is None else packed[..., 2],
        "norm": material.normal_texture,
        "map_Ke": material.emissive_texture,
    }
    for key, pixels in maps.items():
        if pixels is not None:
            file = stem.with_name(f"{stem.name}_{key.removeprefix('map_')}.png")
            files[file] = encode_png(pixels)
            lines.append(f"{key} {file.name}")
    return lines


def load_obj(path: str | Path) -> Scene:
    """The objects of an OBJ file, one part per material, z up; without `o` lines by its groups, else one object.

    Lines of one name are one object; faces before the first `o` line are an object called as the file.

    Materials and textures that are damaged, or not in the file's folder, are left out with a warning.

    Raises:
        InputError: missing, damaged, too large, or without triangles.
    """
    path = Path(path)
    with reading(path, "an OBJ mesh", "export it again"):
        scene, problems = parse_obj(
            read_file(path, max_bytes=MAX_BYTES), path.stem, lambda name: read_beside(path.parent, name)
        )
    for problem in problems:
        logger.warning("'%s': %s.", path, problem.rstrip("."))
    return scene


def parse_obj(content: bytes, name: str, read: Callable[[str], bytes]) -> tuple[Scene, tuple[str, ...]]:
    """The scene in the bytes of an OBJ file, and a sentence on each material file or texture that cannot be read.

    Args:
        name: of the object where the file names none.
        read: content of a file that this one names; raises `InputError` where there is none.

    Raises:
        InputError: no triangles, or more memory needed than the file may take.
        Exception: of the parser's, for a damaged file.
    """
    import trimesh

    spend(_BYTES_PER_BYTE * len(content), "its geometry")
    text = trimesh.util.decode_text(content).replace("\r\n", "\n").replace("\\\n", "")
    text = _counted_from_the_start(text)
    by_group = re.search(r"^o[ \t]+\S", text, re.MULTILINE) is None
    text, names = _numbered(text, "g" if by_group else "o", name)
    library = _Library(read, frozenset(re.findall(r"^mtllib[ \t]+(.*\S)", text, re.MULTILINE)))
    loaded = trimesh.load_scene(
        io.BytesIO(without_folds(text).encode()),
        file_type="obj",
        resolver=library,
        process=False,
        split_objects=not by_group,
        split_groups=by_group,
    )
    geometries = {key: item for key, item in loaded.geometry.items() if isinstance(item, trimesh.Trimesh)}
    has_normals = re.search(r"^vn\s", text, re.MULTILINE) is not None
    found = {key: _Raw.of(geometry, has_normals) for key, geometry in geometries.items()}
    if not any(len(raw.faces) for raw in found.values()):
        raise InputError("it holds no triangles; export a mesh with faces")
    # Geometries are named "number_material".
    parts: list[list[Mesh]] = [[] for _ in names]
    for key in sorted(found):
        parts[int(key.split("_")[0])].append(library.part(found[key]))
    objects = tuple(SceneObject(own, tuple(meshes)) for own, meshes in zip(names, parts, strict=True) if meshes)
    return Scene(objects), tuple(library.problems)


def _counted_from_the_start(text: str) -> str:
    """The text with no index below zero: those count back from their own line, but trimesh does from the file's end."""
    if re.search(r"^f[ \t].*-", text, re.MULTILINE) is None:
        return text
    counts = {"v": 0, "vt": 0, "vn": 0}
    lines = text.split("\n")
    for row, line in enumerate(lines):
        key = line.split(maxsplit=1)[0] if line else ""
        if key in counts:
            counts[key] += 1
        elif key == "f" and "-" in line:
            totals = tuple(counts.values())

            def absolute(corner: str, totals: tuple[int, ...] = totals) -> str:
                pairs = zip(corner.split("/"), totals, strict=False)
                return "/".join(
                    str(int(index) + 1 + total) if index.startswith("-") else index for index, total in pairs
                )

            try:
                lines[row] = " ".join(["f", *map(absolute, line.split()[1:])])
            except ValueError:  # damaged, as the parser will say
                continue
    return "\n".join(lines)


def _numbered(text: str, key: str, name: str) -> tuple[str, list[str]]:
    """The text with numbers for the names in its lines of `key`, "o" or "g"; and the names, `name` before the first.

    trimesh joins the names of an object and of its material, which cannot be told apart again; a number can. Lines of
    one name go on with its object, as tools mean them that write one line per material.
    """
    names = [name]
    known: dict[str, int] = {}

    def number(line: re.Match[str]) -> str:
        own = line[1].strip()
        if own not in known:
            known[own] = len(names)
            names.append(own)
        return f"{key} {known[own]}"

    text = re.sub(rf"^{key}[ \t]+(\S.*)$", number, text, flags=re.MULTILINE)
    return f"{key} 0\n{text}", names


class _Raw:
    """Arrays of one trimesh geometry, checked."""

    def __init__(self, vertices: np.ndarray, faces: np.ndarray) -> None:
        self.vertices, self.faces = vertices, faces
        self.normals: np.ndarray | None = None
        self.uv: np.ndarray | None = None
        self.rgb: np.ndarray | None = None
        self.material = ""

    @staticmethod
    def of(geometry: Any, has_normals: bool) -> "_Raw":
        raw = _Raw(np.array(geometry.vertices, np.float32), np.array(geometry.faces, np.int64))
        count = len(raw.vertices)
        if not (raw.vertices.shape[1:] == (3,) and raw.faces.shape[1:] == (3,) and np.isfinite(raw.vertices).all()):
            raise ValueError("its vertices or faces are damaged")
        if len(raw.faces) and (raw.faces.min() < 0 or raw.faces.max() >= count):
            raise ValueError("a face names a vertex that does not exist")
        if has_normals:
            raw.normals = np.array(geometry.vertex_normals, np.float32)
        visual = geometry.visual
        if visual.kind == "vertex":
            raw.rgb = np.array(visual.vertex_colors, np.float32)[:, :3] / 255
        elif visual.kind == "texture":
            raw.material = str(getattr(visual.material, "name", "") or "")
            uv = None if visual.uv is None else np.array(visual.uv, np.float32)
            raw.uv = uv if uv is not None and uv.shape == (count, 2) and np.isfinite(uv).all() else None
        return raw


class _Library:
    """The materials of one OBJ, from the .mtl files that trimesh asks for; it is given no other file.

    `Pr` marks a file whose materials are metallic-roughness, where a texture multiplies its factor. In others a texture
    replaces `Kd`, as catalogues and Blender have it, and the exponent `Ns` tells the roughness.
    """

    def __init__(self, read: Callable[[str], bytes], names: frozenset[str]) -> None:
        self._read, self._names = read, names
        self._tables: dict[str, dict[str, str]] = {}
        self._materials: dict[str, PBRMaterial] = {}
        self._pictures: dict[str, Image.Image | None] = {}
        self.problems: list[str] = []

    def __getitem__(self, name: str) -> bytes:
        return self.get(name)

    def get(self, name: str) -> bytes:
        if name not in self._names:
            raise KeyError(name)
        try:
            content = self._read(name.replace("\\", "/"))
        except InputError as error:
            self.problems.append(str(error))
            raise KeyError(name) from error
        spend(_BYTES_PER_BYTE * len(content), "its materials")
        table: dict[str, str] = {}
        for line in content.decode("utf-8-sig", errors="replace").splitlines():
            key, _, value = line.strip().partition(" ")
            if key == "newmtl":
                table = self._tables.setdefault(value.strip(), {})
            elif value:
                table[key.lower()] = value.strip()
        return content

    def part(self, raw: _Raw) -> Mesh:
        material = None
        if raw.material in self._tables:
            if raw.material not in self._materials:
                self._materials[raw.material] = self._material(raw.material)
            material = self._materials[raw.material]
        colors, uv = None, None
        if raw.rgb is not None:
            linear = linear_from_srgb(torch.from_numpy(raw.rgb))
            colors = torch.cat([linear, torch.ones(len(linear), 1)], 1)
        if raw.uv is not None:
            uv = torch.from_numpy(raw.uv) * torch.tensor([1.0, -1.0]) + torch.tensor([0.0, 1.0])
        normals = None if raw.normals is None else zup_from_yup(torch.from_numpy(raw.normals))
        return Mesh(
            zup_from_yup(torch.from_numpy(raw.vertices)), torch.from_numpy(raw.faces), normals, colors, uv, material
        )

    def _material(self, name: str) -> PBRMaterial:
        table = self._tables[name]
        base, rough, metal, normal, glow = (
            self._picture(table, key) for key in ("map_kd", "map_pr", "map_pm", "norm", "map_ke")
        )
        (exponent,) = _numbers(table, "ns", [0.0], most=1000.0)
        plain_roughness = min(max(1 - exponent / 500, 0.2), 0.9)
        is_pbr = "pr" in table or "pm" in table
        (roughness,) = _numbers(table, "pr", [1.0 if is_pbr else plain_roughness])
        (metallic,) = _numbers(table, "pm", [0.0])
        kd = [1.0, 1.0, 1.0] if base is not None and not is_pbr else _numbers(table, "kd", [1.0, 1.0, 1.0])
        color = linear_from_srgb(torch.tensor(kd, dtype=torch.float64)).tolist()
        (clearness,) = _numbers(table, "tr", [0.0])
        (alpha,) = _numbers(table, "d", [1 - clearness])
        red, green, blue = _numbers(table, "ke", [0.0, 0.0, 0.0] if glow is None else [1.0, 1.0, 1.0])
        return PBRMaterial(
            base_color_factor=(color[0], color[1], color[2], alpha),
            metallic_factor=metallic,
            roughness_factor=roughness,
            emissive_factor=(red, green, blue),
            base_color_texture=None if base is None else pixels_of(base, base.mode),
            metallic_roughness_texture=_packed(rough, metal),
            normal_texture=None if normal is None else pixels_of(normal, "RGB"),
            emissive_texture=None if glow is None else pixels_of(glow, "RGB"),
            alpha_mode="BLEND" if alpha < 1 or (base is not None and base.mode == "RGBA") else "OPAQUE",
            name=name,
        )

    def _picture(self, table: Mapping[str, str], key: str) -> Image.Image | None:
        if key not in table:
            return None
        file = table[key].split()[-1] if table[key].startswith("-") else table[key]
        file = file.replace("\\", "/")
        if file not in self._pictures:
            try:
                self._pictures[file] = decode_image(self._read(file), name=f"'{file}'")
            except InputError as error:
                self.problems.append(str(error))
                self._pictures[file] = None
        return self._pictures[file]


def _numbers(table: Mapping[str, str], key: str, default: list[float], most: float = 1.0) -> list[float]:
    try:
        numbers = [min(max(float(word), 0.0), most) for word in table[key].split()]
    except (KeyError, ValueError):
        return default
    return numbers if len(numbers) == len(default) else default


def _packed(rough: Image.Image | None, metal: Image.Image | None) -> Tensor | None:
    """Roughness in channel 1 and metallic in channel 2, as glTF has them; the one that is missing counts as 1."""
    if rough is None and metal is None:
        return None
    size = (rough or metal).size  # type: ignore[union-attr]
    planes = [
        torch.full((size[1], size[0]), 255, dtype=torch.uint8)
        if picture is None
        else pixels_of(picture.resize(size), "RGB")[..., 0]
        for picture in (None, rough, metal)
    ]
    planes[0] = torch.zeros_like(planes[0])
    return torch.stack(planes, -1)


OBJ = Format(
    name="OBJ with .mtl and textures beside it",
    suffix=".obj",
    holds=frozenset({"meshes", "objects", "materials", "textures", "colors"}),
    reader=load_obj,
    write=save_obj,
)
