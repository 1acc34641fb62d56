"""The `scenewright` command: one file per subcommand, each parse -> call -> write."""

import sys

from scenewright.errors import ScenewrightError

__all__ = ["main"]


def main() -> None:
    """Run the command line; a `ScenewrightError` becomes one sentence on stderr and exit code 2."""
    from scenewright.cli.app import app

    try:
        app()
    except ScenewrightError as error:
        sys.stderr.write(f"scenewright: {error}\n")
        sys.exit(2)
