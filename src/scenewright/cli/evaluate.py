"""`scenewright evaluate`: score a folder of scene files, or let a system generate test scenes and score those."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["evaluate"]

EXIT_GATE = 1


def evaluate(
    predictions: Annotated[
        Path | None, typer.Option(help="Folder of scene files to score (NAME.glb or NAME/*.glb).")
    ] = None,
    ground_truth: Annotated[Path | None, typer.Option(help="Folder of true scenes of the same names.")] = None,
    scenes: Annotated[Path | None, typer.Option(help="Folder of test scenes to generate and score.")] = None,
    system: Annotated[
        str | None, typer.Option(help="System that generates: see 'scenewright evaluate --list'.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Preset: mini, published, FOLDER; PACK.zip for retrieval.")] = None,
    protocol: Annotated[
        list[str] | None, typer.Option(help="Evaluation protocol; may be given more than once.")
    ] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Where to write the numbers.")] = None,
    report: Annotated[Path | None, typer.Option(help="Where to write the HTML report.")] = None,
    gate: Annotated[
        Path | None, typer.Option(help="Baseline OUT.json; exit 1 if a metric is significantly worse.")
    ] = None,
    gate_tolerance: Annotated[
        float, typer.Option(help="Relative loss of layout and collisions the gate lets pass.")
    ] = 0.01,
    work: Annotated[Path | None, typer.Option(help="Folder for records and generated scenes, to resume from.")] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that score; 0 chooses. The numbers do not depend on it.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="Seed passed to the system.")] = 0,
    camera: Annotated[
        str, typer.Option(help="What the system is told of the true camera: pose (all), lens, nothing.")
    ] = "pose",
    device: Annotated[str, typer.Option(help="Device the system runs on: auto, cpu, cuda, mps.")] = "auto",
    views: Annotated[
        list[str] | None,
        typer.Option(help="Measure on rendered views: psnr, ssim, lpips, clip, dino, fid; repeatable."),
    ] = None,
    pictures: Annotated[bool, typer.Option(help="Draw pictures for the report.")] = True,
    list_all: Annotated[bool, typer.Option("--list", help="List protocols and systems.")] = False,
) -> None:
    """Score scenes under a named protocol: F-scores in percent, collision rates in [0, 1], 95 % intervals."""
    from scenewright.cli.evaluation_tables import print_gate, print_list, print_summary, print_views
    from scenewright.cli.progress import progress_bar
    from scenewright.errors import InputError
    from scenewright.evaluation.compare import compare_results, failures_of_gate, left_out, read_result
    from scenewright.evaluation.protocols import find_protocol
    from scenewright.evaluation.report import save_report
    from scenewright.evaluation.run import evaluate_folders, evaluate_system
    from scenewright.evaluation.systems import camera_knowledge, open_for_evaluation
    from scenewright.evaluation.views import measure_views
    from scenewright.io.atomic import write_bytes
    from scenewright.jobs import to_json
    from scenewright.machine import choose_device

    if list_all:
        print_list()
        return
    scores_files = predictions is not None and ground_truth is not None
    if scores_files == (scenes is not None and system is not None):
        raise InputError("Give either --predictions and --ground-truth, or --scenes and --system.")
    for path in (json_path, report):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
    told = camera_knowledge(camera)
    protocols = [find_protocol(name) for name in protocol or ["scenewright-1"]]
    baseline = read_result(gate) if gate is not None else None
    results, built, base = [], None, work or _default_work(json_path, report)
    for chosen in protocols:
        folder = base / chosen.name
        with progress_bar(chosen.name) as progress:
            if scores_files:
                assert predictions is not None
                assert ground_truth is not None
                result = evaluate_folders(
                    predictions,
                    ground_truth,
                    chosen,
                    work=folder,
                    pictures=pictures,
                    workers=workers,
                    progress=progress,
                )
            else:
                assert scenes is not None
                assert system is not None
                if built is None:
                    built = open_for_evaluation(
                        system,
                        preset,
                        device=str(choose_device(device)),
                        scenes=scenes,
                        work=base,
                        progress=progress,
                    )
                result = evaluate_system(
                    built,
                    scenes,
                    chosen,
                    work=folder,
                    generated=base / "generated",
                    seed=seed,
                    preset=preset,
                    camera=told,
                    pictures=pictures,
                    workers=workers,
                    progress=progress,
                )
        results.append(result)
        seen = measure_views(result.records, result.work, views, device=str(choose_device(device))) if views else {}
        print_views(chosen.name, seen)
        suffix = "" if len(protocols) == 1 else f".{chosen.name}"
        if json_path is not None:
            write_bytes(_with_stem_suffix(json_path, suffix), to_json(result.to_dict() | {"views": seen}))
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
