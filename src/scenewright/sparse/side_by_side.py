"""Independent pieces of CPU work, one per core at a time, with torch's own threads switched off inside each piece.

Gathering and scattering rows is serial inside torch; pieces that write different rows can run beside each other.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

__all__ = ["run_side_by_side"]

Piece = TypeVar("Piece")


def run_side_by_side(work: Callable[[Piece], None], pieces: Sequence[Piece], *, num_threads: int) -> None:
    """Calls `work` once per piece, without recording gradients. Pieces must not write to the same memory.

    Results do not depend on `num_threads`, which is at most what torch itself would use in the end.
    """
    num_threads = min(num_threads, len(pieces))
    if num_threads < 2:
        with torch.no_grad():
            for piece in pieces:
                work(piece)
        return
    kept_threads, is_inference = torch.get_num_threads(), torch.is_inference_mode_enabled()

    def run(piece: Piece) -> None:
        # Both modes belong to the thread that sets them.
        with torch.inference_mode(is_inference), torch.no_grad():
            work(piece)

    try:
        with ThreadPoolExecutor(num_threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            list(pool.map(run, pieces))
    finally:
        torch.set_num_threads(kept_threads)  # threads started from now on take the number that was set last
