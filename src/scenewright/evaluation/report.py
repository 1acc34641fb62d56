"""One HTML file that shows an evaluation: the table, every scene with its pictures (worst first), timings, machine.

Everything is inside the file (pictures as base64), nothing is loaded from anywhere.
"""

import base64
import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scenewright.evaluation.run import Evaluation
from scenewright.evaluation.summary import has_truth, higher_is_better
from scenewright.io.atomic import write_bytes

__all__ = ["label_of", "report_html", "save_report"]

_LABELS = {
    "cd_s": "CD-S",
    "cd_o": "CD-O",
    "f_s": "F-S %",
    "f_o": "F-O %",
    "iou_b": "IoU-B",
    "iou_o": "IoU-O",
    "layout_iou": "Layout IoU",
    "col_o": "Col-O",
    "col_s": "Col-S",
    "accuracy": "Accuracy",
    "completeness": "Completeness",
    "box_ap_25": "AP@0.25",
    "box_ap_50": "AP@0.5",
    "f_5cm": "F at 5 cm %",
    "f_10cm": "F at 10 cm %",
    "f_arithmetic_5cm": "F at 5 cm, arithmetic %",
    "f_arithmetic_10cm": "F at 10 cm, arithmetic %",
    "chamfer_m": "Chamfer m",
    "accuracy_m": "Accuracy m",
    "completeness_m": "Completeness m",
    "normal_consistency": "Normal consistency",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "instance_iou": "Instance IoU",
}


def label_of(metric: str) -> str:
    """A metric's name for people; those of rooms are their own."""
    return _LABELS.get(metric, metric.replace("_", " "))


_STYLE = """
:root { color-scheme: light dark; --line: #8884; --faint: #8888; --bad: #c0392b; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1rem; margin: 0 0 .4rem; } p.note { color: var(--faint); margin: .2rem 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .25rem .7rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } small { color: var(--faint); }
.scene { border-top: 1px solid var(--line); padding: 1.1rem 0; }
.pictures { display: flex; gap: .6rem; flex-wrap: wrap; } figure { margin: 0; }
figure img { display: block; width: 260px; max-width: 100%; height: auto; border-radius: 4px; }
figcaption { color: var(--faint); font-size: .85rem; } .bad { color: var(--bad); }
details { margin-top: .5rem; } summary { cursor: pointer; }
"""


def save_report(evaluation: Evaluation, path: str | Path) -> Path:
    """Writes `report_html` to `path`; returns the path."""
    return write_bytes(path, report_html(evaluation).encode())


def report_html(evaluation: Evaluation) -> str:
    """The whole page."""
    records = sorted(evaluation.records, key=_badness, reverse=True)
    failed = sum(record["status"] == "failed" for record in records)
    machine = " · ".join(f"{_text(key)}: {_text(value)}" for key, value in evaluation.machine.items())
    title = f"{evaluation.system} under {evaluation.protocol.name}"
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>{_text(title)}</title><style>{_STYLE}</style>",
        f"<h1>{_text(title)}</h1>",
        f"<p class='note'>{len(records)} scenes, {failed} failed · protocol {_text(evaluation.protocol.name)}"
        f" · {evaluation.date}</p>",
        f"<p class='note'>{machine}</p>",
        "<h2>Means with 95 % bootstrap intervals</h2>",
        _summary_table(evaluation),
        "<h2>Timings and memory</h2>",
        _timing_table(records),
        "<h2>Scenes, worst first</h2>",
        *(_scene(record, evaluation.work) for record in records),
        "</html>",
    ]
    return "\n".join(parts)


def _summary_table(evaluation: Evaluation) -> str:
    rows = []
    for name in evaluation.mean:
        label = label_of(name)
        arrow = "higher is better" if higher_is_better(name) else "lower is better"
        low, high = evaluation.ci95[name]
        interval = f"{_number(low)} to {_number(high)}"
        mean = _number(evaluation.mean[name])
        rows.append(f"<tr><td>{label} <small>{arrow}</small></td><td><b>{mean}</b></td><td>{interval}</td></tr>")
    header = "<tr><th>Metric</th><th>Mean</th><th>95 % interval</th></tr>"
    return f"<div class='wide'><table>{header}{''.join(rows)}</table></div>"


def _timing_table(records: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for stage in ("generate", "score"):
        seconds = [r["seconds"][stage] for r in records if stage in r.get("seconds", {})]
        if seconds:
            cells = (sum(seconds) / len(seconds), max(seconds), sum(seconds))
            rows.append(f"<tr><td>{stage}, seconds</td>{''.join(f'<td>{_number(c)}</td>' for c in cells)}</tr>")
    for device in ("cpu", "gpu"):
        peaks = [r["peak_memory_mb"][device] for r in records if device in r.get("peak_memory_mb", {})]
        if peaks:
            rows.append(
                f"<tr><td>peak {device.upper()} memory, MB</td><td></td><td>{_number(max(peaks))}</td><td></td></tr>"
            )
    header = "<tr><th></th><th>mean per scene</th><th>largest</th><th>total</th></tr>"
    return f"<div class='wide'><table>{header}{''.join(rows)}</table></div>"


def _scene(record: Mapping[str, Any], work: Path) -> str:
    line = _scene_line(record) if "scene" in record else _numbers_line(record)
    notes = "".join(f"<p class='bad'>{_text(note)}</p>" for note in record["warnings"])
    figures = "".join(
        f"<figure><img alt='{role}' src='{source}'><figcaption>{role}</figcaption></figure>"
        for role in ("input", "prediction", "truth")
        if (source := _picture(record, role, work))
    )
    state = " <span class='bad'>failed</span>" if record["status"] == "failed" else ""
    return (
        f"<div class='scene'><h3>{_text(record['name'])}{state}</h3><p class='note'>{line}</p>{notes}"
        f"<div class='pictures'>{figures}</div>{_objects(record)}</div>"
    )


def _scene_line(record: Mapping[str, Any]) -> str:
    scene = record["scene"]
    hits = sum(record["collisions"])
    return (
        f"CD-S {_number(scene['cd_s'])} · F-S {_number(100 * scene['f_s'])} · IoU-B {_number(scene['iou_b_scene'])} · "
        f"{hits} of {len(record['collisions'])} objects collide · matched by {_text(record['matched_by'])} · "
        f"{_text(record['candidate'])}"
    )


def _numbers_line(record: Mapping[str, Any]) -> str:
    numbers = record["place"] if "place" in record else record["metrics"]
    return " · ".join(f"{label_of(name)} {_number(value)}" for name, value in numbers.items())


def _objects(record: Mapping[str, Any]) -> str:
    if "objects" not in record:
        return ""
    rows = []
    for item in record["objects"]:
        quality = record["quality"].get(item["prediction"] or "", {})
        names = f"{_text(item['truth'] or '(extra)')} &larr; {_text(item['prediction'] or '(missing)')}"
        cells = [item["cd_o"], 100 * item["f_o"], item["iou_o"], item["layout_iou"]]
        watertight = {True: "yes", False: "no"}.get(quality.get("is_watertight"), "")
        faces = quality.get("num_faces", "")
        numbers = "".join(f"<td>{_number(cell)}</td>" for cell in cells)
        rows.append(f"<tr><td>{names}</td>{numbers}<td>{faces}</td><td>{watertight}</td></tr>")
    titles = ("Object", "CD-O", "F-O %", "IoU-O", "Layout IoU", "Faces", "Watertight")
    header = f"<tr>{''.join(f'<th>{title}</th>' for title in titles)}</tr>"
    return (
        f"<details><summary>Objects</summary><div class='wide'><table>{header}{''.join(rows)}</table></div></details>"
    )


def _picture(record: Mapping[str, Any], role: str, work: Path) -> str | None:
    name = record.get("pictures", {}).get(role)
    if name is None or not (work / name).is_file():
        return None
    return f"data:image/jpeg;base64,{base64.b64encode((work / name).read_bytes()).decode()}"


def _badness(record: Mapping[str, Any]) -> tuple[bool, float]:
    if not has_truth(record):
        return record["status"] == "failed", 0.0
    if "place" in record:
        quality = record["place"]["f_10cm"]
    elif "scene" in record:
        quality = record["scene"]["f_s"]
    else:
        quality = record["metrics"].get("room_f_10cm", record["metrics"].get("room_f1_0.02", 0.0))
    return record["status"] == "failed", -quality


def _number(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "&ndash;"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"


def _text(value: Any) -> str:
    return html.escape(str(value))
