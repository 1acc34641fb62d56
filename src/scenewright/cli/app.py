"""The table of subcommands; each lives in its own file and imports what is heavy only when it runs."""

from typing import Annotated

import typer

from scenewright.cli.batch import batch
from scenewright.cli.compare import compare
from scenewright.cli.convert import convert
from scenewright.cli.data import data_app
from scenewright.cli.demo import demo
from scenewright.cli.doctor import doctor
from scenewright.cli.edit import edit
from scenewright.cli.evaluate import evaluate
from scenewright.cli.generate import generate
from scenewright.cli.list_weights import list_weights
from scenewright.cli.object import object_command
from scenewright.cli.options import Offline
from scenewright.cli.panorama import panorama
from scenewright.cli.prepare import prepare_app
from scenewright.cli.reconstruct import reconstruct
from scenewright.cli.render import render
from scenewright.cli.replay import replay
from scenewright.cli.reroll import reroll
from scenewright.cli.serve import serve
from scenewright.cli.studio import studio
from scenewright.cli.texture import texture
from scenewright.cli.train import train

app = typer.Typer(
    name="scenewright",
    help="Pictures of a place in, a 3D scene of separate, textured, usable objects out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(batch)
app.command()(compare)
app.command()(convert)
app.add_typer(data_app, name="data")
app.command()(demo)
app.command()(doctor)
app.command(context_settings={"ignore_unknown_options": True})(edit)
app.command()(evaluate)
app.command()(generate)
app.command("list")(list_weights)
app.command("object")(object_command)
app.command()(panorama)
app.add_typer(prepare_app, name="prepare")
app.command()(reconstruct)
app.command()(render)
app.command()(replay)
app.command()(reroll)
app.command()(serve)
app.command()(studio)
app.command()(texture)
app.command()(train)


@app.callback()
def _options(
    file_memory: Annotated[
        str | None,
        typer.Option(
            help="What reading any one file may take beyond 64 times its size, such as 4GB (256 MiB by default)."
        ),
    ] = None,
    offline: Offline = False,
) -> None:
    """Options of every command."""
    if file_memory is not None:
        from scenewright.files import allow_file_memory
        from scenewright.systems.assembly.memory import parse_bytes

        allow_file_memory(parse_bytes(file_memory))
