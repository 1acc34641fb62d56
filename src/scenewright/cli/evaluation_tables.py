"""Output of `evaluate` and `compare`: tables and the gate's verdict."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from scenewright.evaluation.compare import Difference
from scenewright.evaluation.protocols import PROTOCOLS
from scenewright.evaluation.report import label_of
from scenewright.evaluation.room_scoring import ROOM_PROTOCOLS
from scenewright.evaluation.run import Evaluation
from scenewright.systems.registry import usable_systems

__all__ = ["print_comparison", "print_gate", "print_list", "print_summary", "print_views"]


def print_summary(results: Sequence[Evaluation]) -> None:
    """One column per protocol: mean and interval of every metric, then the scenes that failed or raised a warning."""
    console = Console()
    table = Table(title=results[0].system)
    table.add_column("metric")
    for result in results:
        failed = sum(record["status"] == "failed" for record in result.records)
        counts = f"{len(result.records)} scenes" + (f", {failed} failed" if failed else "")
        table.add_column(f"{result.protocol.name} ({counts})", justify="right")
    names = dict.fromkeys(name for result in results for name in result.mean)
    for name in names:
        table.add_row(label_of(name), *(_cell(result, name) for result in results))
    console.print(table)
    for record in results[0].records:
        for warning in record["warnings"]:
            console.print(f"{record['name']}: {warning}", style="yellow", markup=False)


def _cell(result: Evaluation, name: str) -> str:
    """Mean and interval; nothing where the protocol does not measure it."""
    if name not in result.mean:
        return ""
    low, high = result.ci95[name]
    return f"{_number(result.mean[name])}  [dim]{_number(low)} .. {_number(high)}"


def print_comparison(first: str, second: str, differences: Sequence[Difference], num_scenes: int) -> None:
    """Every metric of both over the `num_scenes` scenes they share."""
    table = Table(title=f"{second} against {first}, {num_scenes} common scenes")
    for column in ("metric", first, second, "difference", "95 % interval", "p", "verdict"):
        table.add_column(column, justify="left" if column in ("metric", "verdict") else "right")
    colours = {"better": "green", "worse": "red", "no difference": "dim"}
    for item in differences:
        numbers = (item.first, item.second, item.difference)
        interval = f"{_number(item.low)} .. {_number(item.high)}"
        verdict = f"[{colours[item.verdict]}]{item.verdict}"
        table.add_row(label_of(item.metric), *map(_number, numbers), interval, _number(item.p_value), verdict)
    Console().print(table)


def print_gate(failures: Sequence[str]) -> None:
    console = Console()
    console.print("Gate failed:" if failures else "Gate passed.", style="red" if failures else "green")
    for failure in failures:
        console.print(f"  {failure}", markup=False)


def print_views(protocol: str, views: Mapping[str, float]) -> None:
    """One line of the measures on rendered views; nothing where none was asked for."""
    if views:
        found = ", ".join(f"{name.upper()} {_number(value)}" for name, value in views.items())
        Console().print(f"Views under {protocol}: {found}", markup=False)


def print_list() -> None:
    console = Console()
    console.print("Protocols:", *PROTOCOLS, *ROOM_PROTOCOLS, sep="\n  ")
    lines = []
    for spec in usable_systems():
        own = ("mini" if spec.mini else "", "published" if spec.published is not None else "")
        weights = " or ".join(filter(None, (*own, spec.weights_help or ("FOLDER" if any(own) else ""))))
        lines.append(f"{spec.name}: {spec.summary}" + (f"; --weights {weights}" if weights else ""))
    console.print("Systems:", *lines, sep="\n  ")


def _number(value: float) -> str:
    if value != value:
        return "-"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:.2f}"
