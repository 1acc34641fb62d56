"""Draws the pictures of docs/inputs.md from a scene with exact masks: each input form beside the masks read from it.

    uv run python scripts/make_input_pictures.py SCENE_FOLDER docs/images

SCENE_FOLDER holds `rgb.jpg` and `instances.png` (0 background, k object k).
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from scenewright.encoders.masks import load_masks
from scenewright.encoders.masks.coco import encode_counts
from scenewright.encoders.preprocess import trellis1
from scenewright.encoders.preprocess.crop import image_to_tensor
from scenewright.io.images import load_image
from scenewright.systems.iscene import preprocess as iscene
from scenewright.systems.scenegen import preprocess as scenegen
from scenewright.types import ObjectMasks

TILE = 240
GAP = 8
COLOURS = np.array(
    [(0, 0, 0), (230, 75, 53), (77, 187, 213), (0, 160, 135), (60, 84, 136), (243, 155, 127), (132, 145, 180)], np.uint8
)
# Of docs/inputs.md; in pixels of the public test scene single/012.
PROMPTS = {"boxes": [[60, 210, 300, 408], [108, 110, 227, 253]], "points": [[[345, 262], [370, 325, 0]]]}
NAMES = ["sofa", "bookcase", "flowers"]


def indexed(labels: np.ndarray, folder: Path) -> tuple[Path, list[Image.Image]]:
    Image.fromarray(labels).save(folder / "masks.png")
    return folder / "masks.png", [Image.fromarray(labels * np.uint8(255 // labels.max()))]


def coloured(labels: np.ndarray, folder: Path) -> tuple[Path, list[Image.Image]]:
    picture = Image.fromarray(COLOURS[labels])
    picture.save(folder / "masks.png")
    return folder / "masks.png", [picture]


def folder_of_masks(labels: np.ndarray, folder: Path) -> tuple[Path, list[Image.Image]]:
    pictures = [Image.fromarray((labels == label).astype(np.uint8) * np.uint8(255)) for label in objects_of(labels)]
    for number, picture in enumerate(pictures, 1):
        picture.save(folder / f"{number}.png")
    return folder, pictures


def cut_outs(labels: np.ndarray, folder: Path, image: Image.Image) -> tuple[list[Path], list[Image.Image]]:
    pictures, paths = [], []
    for label in objects_of(labels):
        picture = scenegen.asset_cut_out(image, torch.from_numpy(labels == label))
        paths.append(folder / f"cut_out_{label}.png")
        picture.save(paths[-1])
        pictures.append(Image.alpha_composite(chequered(picture.size), picture).convert("RGB"))
    return paths, pictures


def coco(labels: np.ndarray, folder: Path) -> tuple[Path, list[Image.Image]]:
    annotations = []
    for label in objects_of(labels):
        counts, value = [0], False
        for inside in (labels == label).T.reshape(-1):
            if bool(inside) != value:
                counts.append(0)
                value = bool(inside)
            counts[-1] += 1
        segmentation = {"size": list(labels.shape), "counts": encode_counts(counts)}
        annotations.append({"id": int(label), "segmentation": segmentation})
    (folder / "coco.json").write_text(json.dumps({"annotations": annotations}))
    lines = json.dumps({"annotations": annotations}, indent=1).splitlines()
    return folder / "coco.json", [text_picture([line[:38] for line in lines[:18]])]


def marked(image: Image.Image, boxes: list[list[int]], points: list[list[list[int]]]) -> Image.Image:
    """The picture with boxes and points as SAM is shown them; a ring is a point that is not on the object."""
    picture = image.convert("RGB").copy()
    draw = ImageDraw.Draw(picture)
    for number, box in enumerate(boxes, 1):
        draw.rectangle(box, outline=tuple(COLOURS[number].tolist()), width=5)
    for number, group in enumerate(points, len(boxes) + 1):
        for x, y, *inside in group:
            colour = tuple(COLOURS[number].tolist())
            fill = None if inside and inside[0] == 0 else colour
            draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill=fill, outline=colour, width=5)
    return picture


def prompt_lines() -> list[str]:
    """The file of the prompts, a line for each box and list of points."""
    lines = ["{"]
    for key, rows in (*PROMPTS.items(), ("names", NAMES)):
        lines += [f'  "{key}": [', *(f"    {json.dumps(row)}," for row in rows)]
        lines[-1] = lines[-1].rstrip(",")
        lines.append("  ]," if key != "names" else "  ]")
    return [*lines, "}"]


def objects_of(labels: np.ndarray) -> list[int]:
    return [int(label) for label in np.unique(labels[labels > 0])]


def chequered(size: tuple[int, int]) -> Image.Image:
    rows, columns = np.indices((size[1], size[0])) // 24
    grey = np.where((rows + columns) % 2, 200, 235).astype(np.uint8)
    return Image.fromarray(np.dstack([grey] * 3)).convert("RGBA")


def text_picture(lines: list[str]) -> Image.Image:
    picture = Image.new("RGB", (TILE, TILE), (250, 250, 250))
    ImageDraw.Draw(picture).text((6, 6), "\n".join(lines), fill=(40, 40, 40), font_size=11, spacing=2)
    return picture


def overlay(image: Image.Image, masks: ObjectMasks) -> Image.Image:
    """The picture, greyed, with each mask tinted."""
    grey = np.asarray(image.convert("L").convert("RGB")).astype(np.float32)
    for mask, colour in zip(masks.masks.numpy(), COLOURS[1:], strict=False):
        grey[mask] = 0.4 * grey[mask] + 0.6 * colour
    return Image.fromarray(grey.astype(np.uint8))


def tiled(picture: Image.Image, side: int = TILE) -> Image.Image:
    return picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    row = Image.new("RGB", (len(pictures) * (TILE + GAP) - GAP, TILE), (255, 255, 255))
    for number, picture in enumerate(pictures):
        row.paste(tiled(picture), (number * (TILE + GAP), 0))
    return row


def quartered(pictures: list[Image.Image]) -> Image.Image:
    """Up to four pictures in one tile."""
    if len(pictures) == 1:
        return pictures[0]
    sheet, half = Image.new("RGB", (TILE, TILE), (255, 255, 255)), TILE // 2 - 2
    for number, picture in enumerate(pictures[:4]):
        sheet.paste(tiled(picture, half), (number % 2 * (half + 4), number // 2 * (half + 4)))
    return sheet


def as_picture(pixels: torch.Tensor) -> Image.Image:
    return Image.fromarray((pixels.permute(1, 2, 0) * 255).round().byte().numpy())


def main(scene: Path, target: Path) -> None:
    image = load_image(scene / "rgb.jpg")
    labels = np.asarray(Image.open(scene / "instances.png"))
    forms: dict[str, Callable[[np.ndarray, Path], tuple[Path | list[Path], list[Image.Image]]]] = {
        "indexed": indexed,
        "coloured": coloured,
        "folder": folder_of_masks,
        "cut_outs": lambda labels, folder: cut_outs(labels, folder, image),
        "coco": coco,
    }
    target.mkdir(parents=True, exist_ok=True)
    for name, form in forms.items():
        with tempfile.TemporaryDirectory() as folder:
            source, pictures = form(labels, Path(folder))
            masks = load_masks(source, labels.shape)
        save_small(side_by_side([image, quartered(pictures), overlay(image, masks)]), target / f"input_{name}.jpg")
    prompts = text_picture(prompt_lines())
    save_small(side_by_side([image, prompts, marked(image, **PROMPTS)]), target / "input_prompts.jpg")
    masks = load_masks(scene / "instances.png")
    crop = iscene.crop_object(image_to_tensor(image.convert("RGB")), masks.masks.any(0), masks.masks[0])
    slots = iscene.slot_pictures([crop])[0]
    cut_out = scenegen.asset_cut_out(image, masks.masks[0])
    prepared = [
        trellis1.prepare_object(cut_out),
        as_picture(slots[0]),
        as_picture(slots[1]),
        as_picture(scenegen.prepare_vggt_frame(image.crop((0, 70, image.width, image.height - 70)))),
    ]
    save_small(side_by_side(prepared), target / "prepared.jpg")


def save_small(picture: Image.Image, path: Path) -> None:
    picture.save(path, quality=82, optimize=True)
    print(f"{path} ({path.stat().st_size // 1000} kB)")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
