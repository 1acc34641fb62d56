"""Object masks in the forms people have them: label pictures, folders, cut-outs, COCO files, prompts for SAM."""

from scenewright.encoders.masks.finding import find_masks
from scenewright.encoders.masks.loading import load_masks
from scenewright.encoders.masks.object_masks import NamedMask, checked_masks
from scenewright.encoders.masks.prompts import MaskPrompts

__all__ = ["MaskPrompts", "NamedMask", "checked_masks", "find_masks", "load_masks"]
