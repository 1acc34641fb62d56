"""The `scenewright` command: one file per subcommand, each parse -> call -> write."""

import os
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line.

    A `ScenewrightError` becomes one sentence on stderr and exit code 2, the code of wrong usage. So does running out of
    memory, and what the system refuses: a full disk, an output that cannot be written. Ctrl-C ends with code 130,
    SIGTERM with 143; a reader that stops listening (`scenewright list | head`) ends it quietly.
    """
    from scenewright.cli.process import (
        Stopped,
        expand_home,
        finish_streams,
        prepare_kernel_cache,
        prepare_streams,
        stopped_by_signals,
    )

    prepare_streams()
    prepare_kernel_cache()
    sys.argv[1:] = map(expand_home, sys.argv[1:])
    code, sentence = 0, ""
    received: list[Stopped] = []
    try:
        with stopped_by_signals(received):
            code, sentence = _outcome()
    except BaseException:
        if not received:
            raise
    if received:  # whatever became of it on the way out
        code, sentence = received[0].exit_code, str(received[0])
    if (reason := finish_streams()) and code == 0:
        code, sentence = 2, reason
    if sentence:
        sys.stderr.write(f"scenewright: {sentence}\n")
    finish_streams()
    if received:
        os._exit(code)  # without waiting for processes and threads: they end with this one
    sys.exit(code)


def _outcome() -> tuple[int, str]:
    """Exit code and last words of the command; raises what is a defect of ours."""
    from scenewright.cli.process import sentence_of

    try:
        from scenewright.cli.app import app

        app()
    except SystemExit as end:
        return (end.code, "") if isinstance(end.code, int) else (0 if end.code is None else 1, str(end.code or ""))
    except Exception as error:
        if (sentence := sentence_of(error)) is None:
            raise
        return 2, sentence
    return 0, ""
