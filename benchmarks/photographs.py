"""Time and peak memory of `scenewright generate` for photographs of 0.2 to 134 megapixels.

    uv run python -m benchmarks photographs [--sizes 0.2 12 48 134] [--masks 7] [--system scenegen]

One scene (a room of coloured boxes) is drawn at every size, as JPEG with a label picture beside it, and generated with
the mini weights in a process of its own. The peak is the kernel's (`ru_maxrss` of the process); "reported" is what the
command prints. The comparison picture is part of the run. Seconds are those of the processor, which other work on the
machine disturbs least. Targets: 12 megapixels with 7 masks below 2.5 GB and at most 5 s longer than the smallest; 48
and 134 megapixels below 4 GB.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.measure import Report


def draw_room(folder: Path, megapixels: float, num_masks: int) -> tuple[Path, Path]:
    """A photograph and its label picture, boxes on a floor with noise over all, 4:3 (2:1 where that is the limit)."""
    aspect = 4 / 3 if megapixels < 130 else 2
    height = round((megapixels * 1e6 / aspect) ** 0.5)
    width = min(round(aspect * height), (1 << 27) // height)
    photo, labels = Image.new("RGB", (width, height), (170, 160, 150)), Image.new("L", (width, height))
    draw, draw_label = ImageDraw.Draw(photo), ImageDraw.Draw(labels)
    draw.rectangle((0, height * 0.45, width, height), fill=(120, 100, 80))
    for number in range(num_masks):
        left = width * (0.05 + 0.9 * number / num_masks)
        top = height * (0.40 + 0.08 * (number % 3))
        corners = (left, top, left + 0.8 * width / num_masks, top + height * 0.3)
        draw.rectangle(corners, fill=(200 - 20 * number, 60 + 20 * number, 90))
        draw_label.rectangle(corners, fill=number + 1)
    grain = Image.fromarray(np.random.default_rng(0).integers(0, 30, (512, 512, 3), dtype=np.uint8))
    for left in range(0, width, 512):
        for top in range(0, height, 512):
            tile = photo.crop((left, top, left + 512, top + 512))
            photo.paste(Image.blend(tile, grain, 0.15), (left, top))
    paths = folder / f"{megapixels:g}.jpg", folder / f"{megapixels:g}_masks.png"
    photo.save(paths[0], quality=90)
    labels.save(paths[1])
    return paths


def measured(arguments: list[str]) -> tuple[float, float, float]:
    """Processor seconds, peak of the process in MB, and the peak that it prints in MB."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen([sys.executable, "-m", "scenewright", *arguments], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        output.seek(0)
        printed = output.read()
    if status:
        raise SystemExit(f"scenewright {' '.join(arguments)} ended with {status}")
    found = re.search(r"peak memory (\d+) MiB", printed)
    assert found is not None
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6, int(found[1]) * 2**20 / 1e6


QUICK = {"sizes": (0.05,), "masks": 1, "system": "cuboid"}


def section(
    report: Report,
    *,
    sizes: tuple[float, ...] = (0.2, 12.0, 48.0, 134.0),
    masks: int = 7,
    system: str = "scenegen",
) -> None:
    """Prints a row for each size."""
    report.table("megapixels", "CPU s", "more than the smallest s", "peak MB", "reported MB", "peak / target")
    first: float | None = None
    with tempfile.TemporaryDirectory() as name:
        for size in sizes:
            photo, labels = draw_room(Path(name), size, masks)
            out = Path(name) / f"{size:g}.glb"
            options = ["--system", system, *(["--weights", "mini"] if system != "cuboid" else []), "--device", "cpu"]
            seconds, peak, reported = measured(["generate", str(photo), "-m", str(labels), "-o", str(out), *options])
            first = seconds if first is None else first
            share = peak / (2500 if size <= 12 else 4000)
            figures = f"{seconds:.1f}", f"{seconds - first:.1f}", f"{peak:.0f}", f"{reported:.0f}", f"{share:.2f}"
            report.row(f"{size:g}", *figures)
            report.ratio(f"{size:g} megapixels: peak / target", share)
            if size == 12:
                report.ratio("12 megapixels: more CPU s / 5", max(0.0, seconds - first) / 5)
