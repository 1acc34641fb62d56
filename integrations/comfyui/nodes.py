"""Nodes of ComfyUI: a picture and masks in, a scene out, looked at and saved.

ComfyUI's types: IMAGE is float [B, H, W, 3] in 0..1, MASK float [B, H, W]; here a batch of masks is one object each.
SCENEWRIGHT_SCENE is a `scenewright.Scene`, which only these nodes pass on.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

import scenewright
from scenewright.errors import InputError
from scenewright.io.formats import suffixes
from scenewright.io.images import load_photograph
from scenewright.machine import choose_device
from scenewright.rendering.framing import NAMED_VIEWS
from scenewright.systems.options import GenerateOptions
from scenewright.systems.registry import DEFAULT_SYSTEM, usable_systems

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]

CATEGORY = "Scenewright"
SCENE = "SCENEWRIGHT_SCENE"
SHIPPED = "as found"  # published weights where they are on this machine, else the small ones that ship


class LoadPicture:
    """A photograph of any format that Scenewright reads, upright, and its masks in any form; one mask per object."""

    CATEGORY = CATEGORY
    FUNCTION = "load"
    RETURN_TYPES = ("IMAGE", "MASK", "STRING")
    RETURN_NAMES = ("picture", "masks", "names")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "picture": ("STRING", {"default": "room.jpg"}),
                "masks": (
                    "STRING",
                    {"default": "masks.png", "tooltip": "Label picture, folder, COCO, prompts or auto."},
                ),
            }
        }

    @classmethod
    def IS_CHANGED(cls, picture: str, masks: str) -> str:
        """What tells ComfyUI to run the node again: the files' times."""
        paths = [Path(picture), Path(masks)]
        return ",".join(str(path.stat().st_mtime_ns) if path.exists() else "" for path in paths)

    def load(self, picture: str, masks: str) -> tuple[Tensor, Tensor, str]:
        image = load_photograph(picture)
        found = scenewright.find_masks(image, masks, image_name=Path(picture).name, device=choose_device("auto"))
        return tensor_of(image), found.masks.float(), "\n".join(found.names)


class GenerateScene:
    """The scene in one picture: every masked object, placed."""

    CATEGORY = CATEGORY
    FUNCTION = "generate"
    RETURN_TYPES = (SCENE,)
    RETURN_NAMES = ("scene",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        systems = [spec.name for spec in usable_systems() if spec.reads == "masks"]
        return {
            "required": {
                "picture": ("IMAGE",),
                "masks": ("MASK",),
                "system": (systems, {"default": DEFAULT_SYSTEM}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**63 - 1}),
                "settle": ("BOOLEAN", {"default": False}),
            },
            "optional": {
                "names": ("STRING", {"default": "", "multiline": True, "tooltip": "A line per mask."}),
                "weights": (
                    "STRING",
                    {"default": SHIPPED, "tooltip": "mini, published, a folder, or OWNER/REPOSITORY."},
                ),
            },
        }

    def generate(
        self,
        picture: Float[Tensor, "one H W C"],
        masks: Float[Tensor, "N h w"],
        system: str,
        seed: int,
        settle: bool,
        names: str = "",
        weights: str = SHIPPED,
    ) -> tuple[scenewright.Scene]:
        if len(picture) != 1:
            raise InputError(f"Expected one picture, got a batch of {len(picture)}; a scene is made of one.")
        objects = scenewright.ObjectMasks(masks.cpu() > 0.5, names.splitlines())
        view = scenewright.View(picture_of(picture[0]), objects)
        opened = opened_system(system, None if weights == SHIPPED else weights)
        return (opened.generate([view], seed=seed, options=GenerateOptions(settle=settle)),)


class RenderScene:
    """A picture of a scene from a named side, or from the camera that took the photograph."""

    CATEGORY = CATEGORY
    FUNCTION = "render"
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("picture",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "scene": (SCENE,),
                "view": ([*NAMED_VIEWS, "camera"],),
                "size": ("INT", {"default": 768, "min": 64, "max": 4096}),
            }
        }

    def render(self, scene: scenewright.Scene, view: str, size: int) -> tuple[Tensor]:
        return (tensor_of(scenewright.render(scene, view, size=size)),)


class SaveScene:
    """A scene as a file in ComfyUI's output folder; the .glb is shown."""

    CATEGORY = CATEGORY
    FUNCTION = "save"
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("path",)
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "scene": (SCENE,),
                "filename_prefix": ("STRING", {"default": "scenewright/scene"}),
                "format": (list(suffixes("meshes")), {"default": ".glb"}),
            }
        }

    def save(self, scene: scenewright.Scene, filename_prefix: str, format: str) -> dict[str, Any]:
        import folder_paths  # ComfyUI's own; it refuses prefixes that lead out of the output folder

        root = folder_paths.get_output_directory()
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(filename_prefix, root)
        path = scene.save(Path(folder) / f"{name}_{counter:05}_{format}")
        shown = {"filename": path.name, "subfolder": subfolder, "type": "output"}
        return {"ui": {"3d": [shown]}, "result": (str(path),)}


@lru_cache(maxsize=1)
def opened_system(system: str, weights: str | None) -> Any:
    """The system with its networks; the last one stays loaded."""
    return scenewright.load(system, weights, device=choose_device("auto"))


def picture_of(pixels: Float[Tensor, "H W C"]) -> Image.Image:
    return Image.fromarray((pixels[..., :3].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy())


def tensor_of(picture: Image.Image) -> Float[Tensor, "1 H W 3"]:
    pixels = torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8)
    return pixels.view(1, picture.height, picture.width, 3).float() / 255


NODE_CLASS_MAPPINGS: dict[str, type] = {
    "ScenewrightLoadPicture": LoadPicture,
    "ScenewrightGenerateScene": GenerateScene,
    "ScenewrightRenderScene": RenderScene,
    "ScenewrightSaveScene": SaveScene,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "ScenewrightLoadPicture": "Load picture and masks",
    "ScenewrightGenerateScene": "Generate scene",
    "ScenewrightRenderScene": "Render scene",
    "ScenewrightSaveScene": "Save scene",
}
