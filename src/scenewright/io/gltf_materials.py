"""glTF materials and their textures as `PBRMaterial`, with the texture coordinates that a mesh needs for them.

A mesh has one set of texture coordinates. The base colour's wins: textures that use another set, or another
KHR_texture_transform, are drawn anew for it where it covers [0, 1] without leaving it, else they become their mean. A
texture that cannot be used never leaves the bare factor that it would have modulated.
"""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from scenewright.errors import InputError
from scenewright.files import spend
from scenewright.geometry.color import linear_from_srgb
from scenewright.geometry.mesh.bake import fill_gutters, texel_surface
from scenewright.io.gltf_codecs import transcode_ktx2
from scenewright.io.gltf_data import GltfData, item, numbers, table, whole
from scenewright.io.gltf_export import WRAP_MODES
from scenewright.io.gltf_geometry import Primitive
from scenewright.io.images import decode_image, pixels_of
from scenewright.types import Mesh, PBRMaterial, Wrap

__all__ = ["MaterialReader"]

logger = logging.getLogger(__name__)

_MAX_IMAGES = 4096
_BYTES_PER_PIXEL = 8
_MAX_IMAGE_PIXELS = 1 << 26
_KTX2 = b"\xabKTX 20\xbb\r\n\x1a\n"
_WRAPS = {number: wrap for wrap, number in WRAP_MODES.items()}
# Where the same picture is stored in a format that glTF alone does not know; the first that is there is taken.
_SOURCES = ("EXT_texture_webp", "EXT_texture_avif", "KHR_texture_basisu")
_SPECULAR = "KHR_materials_pbrSpecularGlossiness"

_Slot = Literal["base_color", "metallic_roughness", "normal", "emissive", "occlusion"]


@dataclass(frozen=True)
class _Coordinates:
    """A set of texture coordinates and what is done to it: uv' = uv @ `linear`.T + `offset`."""

    number: int
    linear: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)

    def of(self, primitive: Primitive) -> np.ndarray | None:
        uv = primitive.uv.get(self.number)
        if uv is None or (self.linear, self.offset) == ((1.0, 0.0, 0.0, 1.0), (0.0, 0.0)):
            return uv
        return (uv @ np.array(self.linear).reshape(2, 2).T + np.array(self.offset)).astype(np.float32)


@dataclass(frozen=True)
class _Texture:
    pixels: UInt8[Tensor, "_ _ _"]
    coordinates: _Coordinates
    wrap: tuple[Wrap, Wrap]


@dataclass(frozen=True)
class _Source:
    """A material without its textures, and these by slot."""

    plain: PBRMaterial
    textures: Mapping[_Slot, _Texture]


class MaterialReader:
    """Materials of one document; each material and image is read once, however often it is used."""

    def __init__(self, data: GltfData, read_uri: Callable[[str], bytes]) -> None:
        self._data, self._read_uri = data, read_uri
        self._sources: dict[int, _Source] = {}
        self._fitting: dict[tuple[int, frozenset[_Slot]], PBRMaterial] = {}
        self._images: dict[tuple[int, str], Tensor] = {}

    def fitted(self, index: Any, primitive: Primitive) -> tuple[PBRMaterial, Float[Tensor, "V 2"] | None]:
        """Material `index` as a mesh can have it, and the texture coordinates that go with it.

        Raises:
            InputError: the material or one of its pictures is damaged or missing.
            MissingExtraError: a picture is KTX2, and the extra `gltf` is not installed.
        """
        source = self._source(index)
        if not source.textures:
            return source.plain, _tensor(primitive.uv.get(0))
        lead = next(iter(source.textures.values()))
        uv = lead.coordinates.of(primitive)
        redrawn: dict[_Slot, Tensor] = {}
        strays: set[_Slot] = set()
        for slot, texture in source.textures.items():
            own = texture.coordinates.of(primitive)
            if uv is not None and own is not None and (own is uv or np.array_equal(own, uv)):
                continue
            strays.add(slot)
            pixels = None if uv is None or own is None or slot == "normal" else _redrawn(texture, primitive, uv, own)
            if pixels is not None:
                redrawn[slot] = pixels
        key = (index, frozenset(strays))
        if redrawn or key not in self._fitting:
            material = _without(source, strays - redrawn.keys(), str(source.plain.name or index))
            given = {slot: redrawn.get(slot, texture.pixels) for slot, texture in source.textures.items()}
            used = [slot for slot in given if slot not in strays or slot in redrawn]
            kept: dict[str, Any] = {f"{slot}_texture": given[slot] for slot in used}
            material = replace(material, **kept, wrap=lead.wrap)
            if redrawn:  # these pixels are this primitive's alone
                return material, _tensor(uv)
            self._fitting[key] = material
        return self._fitting[key], _tensor(uv)

    def _source(self, index: Any) -> _Source:
        described = item(self._data.document, "materials", index)
        if index in self._sources:
            return self._sources[index]
        extensions = table(described.get("extensions"))
        surface = table(described.get("pbrMetallicRoughness"))
        slots: dict[_Slot, Any] = {
            "base_color": surface.get("baseColorTexture"),
            "metallic_roughness": surface.get("metallicRoughnessTexture"),
            "normal": described.get("normalTexture"),
            "emissive": described.get("emissiveTexture"),
            "occlusion": described.get("occlusionTexture"),
        }
        if _SPECULAR in extensions and not surface:
            glossy = table(extensions[_SPECULAR])
            surface = {
                "baseColorFactor": glossy.get("diffuseFactor", [1, 1, 1, 1]),
                "metallicFactor": 0,
                "roughnessFactor": 1 - numbers([glossy.get("glossinessFactor", 1)], 1, "a material's glossiness")[0],
            }
            slots["base_color"] = glossy.get("diffuseTexture")
            logger.warning("Material %s is specular-glossy; its diffuse colour and glossiness are kept.", index)
        color = numbers(surface.get("baseColorFactor", [1, 1, 1, 1]), 4, "a material's baseColorFactor")
        glow = numbers(described.get("emissiveFactor", [0, 0, 0]), 3, "a material's emissiveFactor")
        strength = table(extensions.get("KHR_materials_emissive_strength")).get("emissiveStrength", 1)
        factors = [
            surface.get("metallicFactor", 1),
            surface.get("roughnessFactor", 1),
            described.get("alphaCutoff", 0.5),
        ]
        metallic, roughness, cutoff, strength = numbers([*factors, strength], 4, "a material's factors")
        mode = described.get("alphaMode")
        plain = PBRMaterial(
            base_color_factor=(color[0], color[1], color[2], color[3]),
            metallic_factor=metallic,
            roughness_factor=roughness,
            emissive_factor=(glow[0] * strength, glow[1] * strength, glow[2] * strength),
            alpha_mode=mode if mode in ("OPAQUE", "MASK", "BLEND") else "OPAQUE",
            alpha_cutoff=cutoff,
            double_sided=described.get("doubleSided") is True,
            name=str(described.get("name", "")),
        )
        if not any(glow):
            slots["emissive"] = None
        textures = {
            slot: self._texture(table(info), None if slot == "base_color" else "RGB")
            for slot, info in slots.items()
            if info is not None
        }
        if "occlusion" in textures:
            textures["occlusion"] = _occlusion(textures["occlusion"], table(slots["occlusion"]))
        if len({texture.wrap for texture in textures.values()}) > 1:
            logger.warning("Textures of material %s continue in different ways; all follow the first.", index)
        self._sources[index] = _Source(plain, textures)
        return self._sources[index]

    def _texture(self, info: Mapping[str, Any], mode: str | None) -> _Texture:
        described = item(self._data.document, "textures", info.get("index"))
        sampler = {} if "sampler" not in described else item(self._data.document, "samplers", described["sampler"])
        wrap_u, wrap_v = (_WRAPS.get(sampler.get(key, 10497), "repeat") for key in ("wrapS", "wrapT"))
        number = whole(info.get("texCoord", 0), "a texture's texCoord")
        moved = table(info.get("extensions")).get("KHR_texture_transform")
        coordinates = _Coordinates(number) if moved is None else _moved(table(moved), number)
        return _Texture(self._picture(described, mode), coordinates, (wrap_u, wrap_v))

    def _picture(self, texture: Mapping[str, Any], mode: str | None) -> Tensor:
        extensions = table(texture.get("extensions"))
        sources = [texture.get("source"), *(table(extensions.get(name)).get("source") for name in _SOURCES)]
        number = next((source for source in sources if source is not None), None)
        if number is None:
            raise InputError("a texture has no picture that can be read; export its images as PNG or JPEG")
        key = (whole(number, "a texture's source"), mode or "")
        if key not in self._images:
            if len(self._images) >= _MAX_IMAGES:
                raise InputError(f"it has more than the {_MAX_IMAGES} images allowed")
            content = self._content(item(self._data.document, "images", key[0]))
            if content.startswith(_KTX2):
                rgba = transcode_ktx2(content, _MAX_IMAGE_PIXELS)
                opaque = mode is not None or bool((rgba[..., 3] == 255).all())
                self._images[key] = rgba[..., :3].contiguous() if opaque else rgba
            else:
                picture = decode_image(content, name=f"in image {key[0]}", max_pixels=_MAX_IMAGE_PIXELS)
                spend(_BYTES_PER_PIXEL * picture.width * picture.height, "its textures")
                self._images[key] = pixels_of(picture, mode or picture.mode)
        return self._images[key]

    def _content(self, image: Mapping[str, Any]) -> bytes:
        if "bufferView" in image:
            return bytes(self._data.view(image["bufferView"]))
        uri = image.get("uri")
        if not isinstance(uri, str):
            raise InputError("an image has neither data nor a URI")
        return self._read_uri(uri)


def _occlusion(texture: _Texture, info: Mapping[str, Any]) -> _Texture:
    """The red channel alone, weakened as its `strength` says."""
    (strength,) = numbers([info.get("strength", 1)], 1, "an occlusion texture's strength")
    red = texture.pixels[..., :1]
    if strength != 1:
        red = (255 + strength * (red.float() - 255)).round().clamp(0, 255).byte()
    return replace(texture, pixels=red.contiguous())


def _moved(transform: Mapping[str, Any], number: int) -> _Coordinates:
    """Scaled, then turned counter-clockwise as one sees it (v points down), then shifted (KHR_texture_transform)."""
    scale_u, scale_v = numbers(transform.get("scale", [1, 1]), 2, "a texture's scale")
    shift_u, shift_v = numbers(transform.get("offset", [0, 0]), 2, "a texture's offset")
    (angle,) = numbers([transform.get("rotation", 0)], 1, "a texture's rotation")
    cos, sin = math.cos(angle), math.sin(angle)
    linear = (cos * scale_u, sin * scale_v, -sin * scale_u, cos * scale_v)
    return _Coordinates(whole(transform.get("texCoord", number), "a texture's texCoord"), linear, (shift_u, shift_v))


def _redrawn(texture: _Texture, primitive: Primitive, uv: np.ndarray, own: np.ndarray) -> Tensor | None:
    """The texture for the coordinates `uv` instead of its `own`; None where these leave [0, 1] or cover no texel."""
    if uv.min(initial=0) < -1e-4 or uv.max(initial=1) > 1 + 1e-4:
        return None
    size = 1 << (max(texture.pixels.shape[:2]) - 1).bit_length()
    spend(32 * size * size, "a texture drawn for other coordinates")
    target = Mesh(torch.from_numpy(primitive.positions), torch.from_numpy(primitive.faces), uv=torch.from_numpy(uv))
    try:
        surface = texel_surface(target, size)
    except InputError:
        return None
    places = surface.interpolate(target, torch.from_numpy(own).double())
    folded = torch.stack([_folded(places[:, side], texture.wrap[side]) for side in (0, 1)], 1).float()
    image = texture.pixels.movedim(-1, 0)[None].float()
    values = torch.nn.functional.grid_sample(
        image, 2 * folded[None, None] - 1, padding_mode="border", align_corners=False
    )
    return fill_gutters(surface, values[0, :, 0].T).values.round().clamp(0, 255).byte()


def _folded(place: Float[Tensor, " M"], wrap: Wrap) -> Float[Tensor, " M"]:
    """Coordinates brought into [0, 1] the way the texture continues."""
    if wrap == "clamp":
        return place.clamp(0, 1)
    return place - place.floor() if wrap == "repeat" else (place - 2 * (0.5 * place + 0.5).floor()).abs()


def _without(source: _Source, slots: set[_Slot], name: str) -> PBRMaterial:
    """The material without these textures: what they say on average goes into its factors."""
    material = source.plain
    for slot in sorted(slots):
        rest = "it is left out" if slot in ("normal", "occlusion") else "its mean is used"
        logger.warning("Material %s: its %s texture has other coordinates than the mesh; %s.", name, slot, rest)
        mean = source.textures[slot].pixels.reshape(-1, source.textures[slot].pixels.shape[-1]).double() / 255
        if slot == "metallic_roughness":
            _, rough, metal = mean.mean(0).tolist()
            material = replace(
                material,
                metallic_factor=material.metallic_factor * metal,
                roughness_factor=material.roughness_factor * rough,
            )
        elif slot not in ("normal", "occlusion"):
            light = [*linear_from_srgb(mean[:, :3]).mean(0).tolist(), *mean[:, 3:].mean(0).tolist(), 1.0]
            if slot == "base_color":
                red, green, blue, alpha = (a * b for a, b in zip(material.base_color_factor, light, strict=False))
                material = replace(material, base_color_factor=(red, green, blue, alpha))
            else:
                red, green, blue = (a * b for a, b in zip(material.emissive_factor, light, strict=False))
                material = replace(material, emissive_factor=(red, green, blue))
    return material


def _tensor(uv: np.ndarray | None) -> Float[Tensor, "V 2"] | None:
    return None if uv is None else torch.from_numpy(uv)
