"""Object masks in the forms people have them: label pictures, folders, cut-outs, COCO files, prompts for SAM."""

from scenewright.encoders.masks.loading import load_masks
from scenewright.encoders.masks.object_masks import NamedMask, ObjectMasks, checked_masks

__all__ = ["NamedMask", "ObjectMasks", "checked_masks", "load_masks"]
