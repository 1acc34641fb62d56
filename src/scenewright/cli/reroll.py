"""`scenewright reroll`: single objects of a scene made anew, everything else unchanged to the last bit."""

from pathlib import Path
from typing import Annotated

import typer

from scenewright.cli.options import AllowDownloads, Device, Offline, ReplayedStages, out_option

__all__ = ["reroll"]


def reroll(
    manifest: Annotated[Path, typer.Argument(help="The .json that lies beside the scene.")],
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Make these objects anew.")],
    out: Annotated[Path, out_option("Write the changed scene to this .glb.")],
    device: Device = "auto",
    stages: ReplayedStages = None,
    offline: Offline = False,
    allow_downloads: AllowDownloads = False,
) -> None:
    """Make single objects of a scene anew with fresh noise; all others stay as they are."""
    from dataclasses import replace

    from scenewright.cli.generate import run_and_write
    from scenewright.io.formats import check_target
    from scenewright.machine import choose_device
    from scenewright.runs.generate import Reroll
    from scenewright.runs.manifest import read_manifest
    from scenewright.runs.replay import refuse_unlisted_repositories, with_stages_inside

    reroll = Reroll(with_stages_inside(read_manifest(manifest), manifest, stages), tuple(names))
    inputs = reroll.parent.settings.inputs
    check_target(out, "--out", ".glb", beside=["_comparison.png", ".json"], inputs=inputs)
    refuse_unlisted_repositories(reroll.parent)
    settings = replace(reroll.parent.settings, device=str(choose_device(device)), offline=offline)
    run_and_write(settings, out, comparison=out.with_name(f"{out.stem}_comparison.png"), reroll=reroll)
