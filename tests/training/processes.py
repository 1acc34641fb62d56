"""Real processes for tests: a run that can be killed, and groups of processes as torchrun makes them."""

import multiprocessing
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

import accelerate  # noqa: F401 - forked processes need not import it again
import torch

# Forked processes start with everything imported; where that is unsafe they start anew.
CONTEXT = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")


def start(function: Callable[..., Any], *arguments: Any) -> Any:
    """The function in a process of its own."""
    process = CONTEXT.Process(target=function, args=arguments)
    process.start()
    return process


def _member(
    function: Callable[..., Any], arguments: tuple[Any, ...], rank: int, count: int, per_machine: int, port: int
) -> None:
    torch.set_num_threads(1)
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank % per_machine),
        "GROUP_RANK": str(rank // per_machine),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(per_machine),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    function(*arguments)


def run_group(function: Callable[..., Any], *arguments: Any, count: int = 2, per_machine: int | None = None) -> None:
    """The function in `count` processes that find each other as under torchrun; all must end well.

    `per_machine` of them believe that they share a machine; None: all.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    members = [start(_member, function, arguments, rank, count, per_machine or count, port) for rank in range(count)]
    for member in members:
        member.join(120)
    codes = [member.exitcode for member in members]
    for member in members:
        if member.is_alive():
            member.kill()
    assert codes == [0] * count, codes
