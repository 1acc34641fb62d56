"""`scenewright edit`: objects of a scene moved, turned, scaled, deleted, copied, swapped, locked or made anew."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenewright.cli.options import AllowDownloads, Offline, out_option
from scenewright.errors import InputError

if TYPE_CHECKING:
    from scenewright.runs.edit import Step

__all__ = ["edit", "parse_steps"]


def edit(
    scene: Annotated[Path, typer.Argument(help="A scene; with the steps of an edit, if its manifest lies beside it.")],
    words: Annotated[list[str] | None, typer.Argument(metavar="STEP...", help="Steps, in order; see above.")] = None,
    out: Annotated[Path, out_option("Write the edited scene to this .glb.")] = Path("edited.glb"),
    undo: Annotated[int, typer.Option(help="Take back so many of the last steps first.", min=0)] = 0,
    offline: Offline = False,
    allow_downloads: AllowDownloads = False,
) -> None:
    """Change objects of a scene. Steps follow the scene, in the order in which they are done:

    --move NAME X Y Z (metres, z up), --rotate NAME DEGREES (counter-clockwise from above), --scale NAME FACTOR,
    --delete NAME, --duplicate NAME, --swap NAME FILE, --lock NAME, --unlock NAME, --regenerate NAME.

    Every step stands in the .json beside the result; `scenewright replay` makes it again.
    """
    from scenewright.cli.progress import progress_bar
    from scenewright.io.formats import check_target
    from scenewright.runs.edit import apply, open_edit, save_edit, undone

    steps = parse_steps(words or [])
    if not steps and not undo:
        raise InputError("There is nothing to do; give a step, such as --move NAME X Y Z, or --undo 1.")
    check_target(out, "--out", ".glb", beside=[".json"])
    opened = open_edit(scene)
    with progress_bar() as progress:
        if undo:
            opened = undone(opened, undo, offline=offline, progress=progress)
        edited = apply(opened, steps, offline=offline, progress=progress)
    for number, step in enumerate(edited.steps, 1):
        typer.echo(
            " ".join([f"{number}. {step.action} {step.name}", *map("{:g}".format, step.values), step.file or ""])
        )
    typer.echo(f"wrote {', '.join(str(path) for path in save_edit(edited, out))}")


def parse_steps(words: Sequence[str]) -> list["Step"]:
    """The steps of a command line, in order.

    Raises:
        InputError: an unknown step, or one without its name, numbers or file.
    """
    from scenewright.runs.edit import ACTIONS, Step

    steps: list[Step] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        action = next((action for action in ACTIONS if word == f"--{action}"), None)
        if action is None:
            known = ", ".join(f"--{known}" for known in ACTIONS)
            raise InputError(f"Expected a step ({known}), got '{word}'.")
        wanted = 1 + ACTIONS[action] + (action == "swap")
        if len(rest) < wanted:
            raise InputError(f"{word} lacks its {'NAME and FILE' if action == 'swap' else 'NAME and numbers'}.")
        name, *values = [rest.pop(0) for _ in range(wanted)]
        if action == "swap":
            steps.append(Step(action, name, file=str(Path(values[0]).absolute())))
            continue
        try:
            steps.append(Step(action, name, tuple(float(value) for value in values)))
        except ValueError as error:
            raise InputError(f"{word} '{name}' takes numbers, got {' '.join(values)}.") from error
    return steps
