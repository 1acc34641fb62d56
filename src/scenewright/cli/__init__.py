"""The `scenewright` command: one file per subcommand, each parse -> call -> write."""

import sys

from scenewright.errors import ScenewrightError

__all__ = ["main"]


def main() -> None:
    """Run the command line.

    A `ScenewrightError` becomes one sentence on stderr and exit code 2, the code of wrong usage. So does running out
    of memory. Ctrl-C ends with code 130; a reader that stops listening (`scenewright list | head`) ends it quietly.
    """
    try:
        from scenewright.cli.app import app

        app()
    except ScenewrightError as error:
        sys.stderr.write(f"scenewright: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not _is_out_of_memory(error):
            raise
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        sys.stderr.write(f"scenewright: Not enough memory ({reason}); use a smaller input or another --device.\n")
        sys.exit(2)


def _is_out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")  # not imported for this: commands without torch must stay quick
    return isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError))
