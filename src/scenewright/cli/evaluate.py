"""`scenewright evaluate`: score a folder of scene files, or let a system generate test scenes and score those."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli.options import Commercial, DepthModel, Device, Offline, Quality, Seed

__all__ = ["evaluate"]

EXIT_GATE = 1


def evaluate(
    predictions: Annotated[
        Path | None, typer.Option(help="Folder of scene files to score (NAME.glb or NAME/*.glb).")
    ] = None,
    ground_truth: Annotated[Path | None, typer.Option(help="Folder of true scenes of the same names.")] = None,
    scenes: Annotated[Path | None, typer.Option(help="Folder of test scenes to generate and score.")] = None,
    system: Annotated[
        str | None, typer.Option(help="Generate them with this system (scenewright evaluate --list).")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Preset: mini, published, FOLDER; PACK.zip for retrieval.")
    ] = None,
    protocol: Annotated[
        list[str] | None, typer.Option(help="Score under this protocol; may be given more than once.")
    ] = None,
    json: Annotated[Path | None, typer.Option("--json", help="Write the numbers to this file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write the HTML report to this file.")] = None,
    gate: Annotated[
        Path | None, typer.Option(help="Baseline OUT.json; exit 1 if a metric is significantly worse.")
    ] = None,
    gate_tolerance: Annotated[
        float, typer.Option(help="Relative loss of layout and collisions the gate lets pass.", min=0, max=1000)
    ] = 0.01,
    work: Annotated[Path | None, typer.Option(help="Folder for records and generated scenes, to resume from.")] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that score; 0 chooses. The numbers do not depend on it.")
    ] = 0,
    seed: Seed = 0,
    known_camera: Annotated[
        str, typer.Option(help="Tell the system this much of the true camera: pose (all), lens or nothing.")
    ] = "pose",
    device: Device = "auto",
    view_metrics: Annotated[
        list[str] | None,
        typer.Option(help="Measure this on rendered views, too: psnr, ssim, lpips, clip, dino or fid; repeatable."),
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Draw pictures for the report.")] = True,
    depth: Annotated[bool, typer.Option(help="Hand true distances to a system that reads panoramas.")] = True,
    depth_model: DepthModel = None,
    preset: Annotated[str | None, typer.Option(help="Preset of a system that reads panoramas.")] = None,
    quality: Quality = None,
    offline: Offline = False,
    commercial: Commercial = False,
    list_all: Annotated[bool, typer.Option("--list", help="List protocols and systems.")] = False,
) -> None:
    """Score scenes under a named protocol: F-scores in percent, collision rates in [0, 1], 95 % intervals."""
    from scenewright.cli.evaluation_tables import print_gate, print_list, print_summary, print_views
    from scenewright.cli.progress import progress_bar
    from scenewright.errors import InputError
    from scenewright.evaluation.compare import compare_results, failures_of_gate, left_out, read_result
    from scenewright.evaluation.evaluating import evaluate as evaluate_scenes
    from scenewright.evaluation.report import save_report
    from scenewright.evaluation.systems import camera_knowledge
    from scenewright.evaluation.views import measure_views
    from scenewright.io.atomic import check_writable, make_folder, write_bytes
    from scenewright.jobs import to_json
    from scenewright.machine import choose_device
    from scenewright.runs.inputs import choose_depth
    from scenewright.samplers.config import quality_named
    from scenewright.systems.loading import refuse_uncleared_choice

    if list_all:
        print_list()
        return
    if (predictions is not None and ground_truth is not None) == (scenes is not None and system is not None):
        raise InputError("Give either --predictions and --ground-truth, or --scenes and --system.")
    distances = choose_depth(model=depth_model).model if depth_model else None
    if commercial:
        if system is None:
            raise InputError("--commercial checks the weights of --system; scenes that are only scored need none.")
        refuse_uncleared_choice(system, weights, places=(distances,))
    for path in (json, report):
        if path is not None:
            make_folder(path.parent)
            check_writable(path)
    baseline = read_result(gate) if gate is not None else None
    torch_device = str(choose_device(device))
    with progress_bar() as progress:
        results = evaluate_scenes(
            predictions,
            ground_truth,
            scenes=scenes,
            system=system,
            weights=weights,
            protocols=protocol or ["scenewright-1"],
            known_camera=camera_knowledge(known_camera),
            seed=seed,
            device=torch_device,
            work=work or _default_work(json, report),
            pictures=pictures,
            workers=workers,
            with_depth=depth,
            depth_model=distances,
            preset=preset,
            quality=quality_named(quality or "standard"),
            progress=progress,
        )
    for result in results:
        similarity = (
            measure_views(result.records, result.work, view_metrics, device=torch_device) if view_metrics else {}
        )
        print_views(result.protocol.name, similarity)
        suffix = "" if len(results) == 1 else f".{result.protocol.name}"
        if json is not None:
            write_bytes(_with_stem_suffix(json, suffix), to_json(result.to_dict() | {"views": similarity}))
        if report is not None:
            save_report(result, _with_stem_suffix(report, suffix))
    print_summary(results)
    for result in results:
        result.require_a_score()
    if baseline is not None:
        current = next((r for r in results if r.protocol.name == baseline["protocol"]), results[0])
        differences = compare_results(baseline, current.to_dict())
        missing = left_out(baseline, current.to_dict())
        failures = failures_of_gate(differences, tolerance=gate_tolerance, missing=missing)
        print_gate(failures)
        if failures:
            raise typer.Exit(EXIT_GATE)


def _default_work(json_path: Path | None, report: Path | None) -> Path:
    beside = json_path or report
    return beside.with_name(f"{beside.stem}_work") if beside is not None else Path("scenewright_evaluation")


def _with_stem_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(f"{path.stem}{suffix}{path.suffix}")
