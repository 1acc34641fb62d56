"""Which parts of a room become meshes, and how large; every part is decoded in place, in the scene's cube.

The published scripts decode the whole room, the layout and the assets: three generations of overlapping content. A
composed scene needs the last two only. Source: naver/inspace eval/pipeline/eval_pipeline.py and
demo/app_inspace_utils.py.
"""

from typing import Literal

from scenewright.systems.inspace.parts import Part, RoomParts

__all__ = ["DecodedSelection", "decoded_parts", "face_budget"]

DecodedSelection = Literal["published_batch", "published_demo", "composed"]
MIN_ASSET_TOKENS = 10
_FACE_BUDGETS = {"room": 500_000, "layout": 200_000, "asset": 100_000}


def decoded_parts(
    parts: RoomParts, selection: DecodedSelection, min_tokens: int = MIN_ASSET_TOKENS
) -> tuple[bool, ...]:
    """Whether each part is decoded: a part of fewer tokens than `min_tokens` is a crumb.

    Args:
        selection: "published_batch" spares the whole room and the layout from that rule, "published_demo" does not;
            "composed" is the batch rule without the whole room, whose content the other parts hold again.
    """
    return tuple(_is_decoded(part, selection, min_tokens) for part in parts.parts)


def face_budget(part: Part) -> int:
    """Triangles that a part's exported mesh may have."""
    return _FACE_BUDGETS[part.kind]


def _is_decoded(part: Part, selection: DecodedSelection, min_tokens: int) -> bool:
    if part.kind == "room" and selection == "composed":
        return False
    if part.kind == "asset" or selection == "published_demo":
        return len(part.coords) >= min_tokens
    return len(part.coords) > 0
