"""The form of what clients send: every field typed and bounded, unknown ones refused, no path and no address in any.

Numbers are bounded as the commands bound them; steps, guidance and sizes of results by what one job may take.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from scenewright.files import MAX_NUMBER, MAX_SEED

__all__ = [
    "CaptureRequest",
    "EditRequest",
    "ExportRequest",
    "GenerateRequest",
    "Prompts",
    "RerollRequest",
    "StepRequest",
]

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,40}$")]
Coordinate = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Number = Annotated[float, Field(ge=-MAX_NUMBER, le=MAX_NUMBER, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Prompts(_Request):
    """Objects marked by boxes (left, upper, right, lower) and points (x, y; a third 0 is off the object), in pixels."""

    boxes: Annotated[list[tuple[Coordinate, Coordinate, Coordinate, Coordinate]], Field(max_length=256)] = []
    points: Annotated[
        list[Annotated[list[Annotated[list[Coordinate], Field(min_length=2, max_length=3)]], Field(max_length=256)]],
        Field(max_length=256),
    ] = []
    names: Annotated[list[Name], Field(max_length=512)] = []


class GenerateRequest(_Request):
    """Choices of a scene from pictures or a panorama, as those of `scenewright generate`; all may be left out."""

    system: Word | None = Field(None, description="By default what suits the picture; GET /catalogue lists them.")
    weights: Literal["mini", "published"] | None = None
    decoder: Literal["trellis1", "trellis2"] | None = None
    resolution: Literal[512, 1024, 1536] | None = None
    preset: Word | None = None
    seed: Seed = 0
    steps: Annotated[int, Field(ge=1, le=200)] | None = None
    quality: Literal["draft", "standard", "best"] | None = None
    guidance: Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)] | None = None
    settle: bool = False
    fit_layout: bool | None = None
    max_faces: Annotated[int, Field(ge=4, le=2_000_000)] | None = None
    texture_size: Annotated[int, Field(ge=16, le=4096)] | None = None
    splats: bool = False
    commercial: bool = False
    auto_masks: bool = Field(False, description="Let SAM find the objects; its weights must be on the server.")
    prompts: Prompts | None = Field(
        None, description="Boxes and points instead of masks; SAM makes masks of them, or the segmenter that ships."
    )
    panorama: bool = Field(False, description="Read the picture as a panorama; one without masks is recognised.")
    heading_deg: Number | None = None
    camera_height_m: Number | None = None
    floor_m: Number | None = None
    extent_m: tuple[Number, Number, Number, Number] | None = None


class CaptureRequest(_Request):
    """Choices of a scene from many pictures of one place, as those of `scenewright generate CAPTURE`."""

    weights: Literal["mini", "published"] | None = None
    auto_masks: bool = False
    room_labels: Annotated[int, Field(ge=1, le=65_535)] | None = None
    published: bool = False
    metres_per_unit: Number | None = None
    camera_height_m: Number | None = None
    seed: Seed = 0
    steps: Annotated[int, Field(ge=1, le=200)] | None = None
    quality: Literal["draft", "standard", "best"] | None = None
    max_faces: Annotated[int, Field(ge=4, le=2_000_000)] | None = None
    texture_size: Annotated[int, Field(ge=16, le=4096)] | None = None
    commercial: bool = False


class RerollRequest(_Request):
    """Objects to make anew."""

    names: Annotated[list[Name], Field(min_length=1, max_length=64)]


class StepRequest(_Request):
    """One step of an edit: x, y, z of a move in metres, degrees of a turn, a factor; `model` counts uploaded models."""

    action: Literal["move", "rotate", "scale", "delete", "duplicate", "swap", "lock", "unlock", "regenerate"]
    name: Name
    values: Annotated[list[Number], Field(max_length=3)] = []
    model: Annotated[int, Field(ge=0, le=255)] | None = None


class EditRequest(_Request):
    """Steps in the order in which they are done; `undo` takes back so many earlier ones first."""

    steps: Annotated[list[StepRequest], Field(max_length=256)] = []
    undo: Annotated[int, Field(ge=0, le=10_000)] = 0


class ExportRequest(_Request):
    """A format of GET /catalogue and how to write it, as `scenewright convert` does."""

    format: Annotated[str, StringConstraints(pattern=r"^\.?[a-z0-9]{2,8}$")]
    program: Word | None = None
    settle: bool = False
    profile: Word | None = None
    colliders: Literal["hull", "decomposition", "box", "none"] = "hull"
    welded: bool = False
    resolution: Annotated[int, Field(ge=8, le=1024)] = 512
    compression: Literal["none", "deflate", "lzma", "zstd"] = "lzma"
