"""The 256 cases of dual marching cubes, generated from one connectivity rule instead of copied.

A cube's case is the sum of 2^c over its occupied corners. On every face of the cube the crossed edges are joined in
pairs; an ambiguous face (four crossed edges) joins the two edges round each occupied corner, so that occupied corners
stay separated. Each closed loop of joined edges carries one dual vertex.

Source: "Dual Marching Cubes" (Nielson, 2004) in the edge and corner order of FlexiCubes (Shen et al., 2023), which is
the order the published weights are stored in. Legend: c corner 0..7 at offset (c & 1, c >> 1 & 1, c >> 2 & 1).
"""

from dataclasses import dataclass
from functools import cache

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["CORNER_OFFSETS", "CUBE_EDGES", "CaseTable", "case_table"]

CORNER_OFFSETS = tuple((c & 1, c >> 1 & 1, c >> 2 & 1) for c in range(8))
# Corner pairs of the 12 edges. Parallel edges share a direction: x and z edges run low to high, y edges high to low.
CUBE_EDGES = ((0, 1), (1, 5), (4, 5), (0, 4), (2, 3), (3, 7), (6, 7), (2, 6), (2, 0), (3, 1), (7, 5), (6, 4))
# The one case whose loops the published table lists in the opposite order; only the vertex numbering depends on it.
_REVERSED_CASE = 231


@dataclass(frozen=True)
class CaseTable:
    """Per case: which loop each crossed edge belongs to, and how to settle the one face that may be ambiguous.

    `loop_of_edge` is -1 on edges that are not crossed. A case is problematic when it has exactly one ambiguous face and
    at least five occupied corners; `ambiguous_step` leads to the cube across that face and is zero for other cases.
    """

    loop_of_edge: Int[Tensor, "256 12"]
    num_loops: Int[Tensor, " 256"]
    ambiguous_step: Int[Tensor, "256 3"]

    def to(self, device: torch.device) -> "CaseTable":
        return CaseTable(self.loop_of_edge.to(device), self.num_loops.to(device), self.ambiguous_step.to(device))


def _face_edges(axis: int, side: int) -> list[int]:
    return [i for i, edge in enumerate(CUBE_EDGES) if all(CORNER_OFFSETS[c][axis] == side for c in edge)]


_FACES = tuple((axis, side, _face_edges(axis, side)) for axis in range(3) for side in (0, 1))


def case_loops(case: int) -> list[list[int]]:
    """Loops of crossed edges of one case, each ascending, in the published order."""
    occupied = [case >> c & 1 == 1 for c in range(8)]
    loop = {i: i for i, (a, b) in enumerate(CUBE_EDGES) if occupied[a] != occupied[b]}

    def join(first: int, second: int) -> None:
        old, new = loop[second], loop[first]
        loop.update({edge: new for edge, label in loop.items() if label == old})

    for _, _, edges in _FACES:
        crossed = [edge for edge in edges if edge in loop]
        if len(crossed) == 2:
            join(*crossed)
        elif len(crossed) == 4:
            for corner in range(8):
                around = [edge for edge in crossed if corner in CUBE_EDGES[edge]]
                if occupied[corner] and len(around) == 2:
                    join(*around)
    loops = [[edge for edge in sorted(loop) if loop[edge] == label] for label in set(loop.values())]
    loops.sort(key=lambda edges: min(c for edge in edges for c in CUBE_EDGES[edge] if occupied[c]))
    return loops[::-1] if case == _REVERSED_CASE else loops


def ambiguous_faces(case: int) -> list[tuple[int, int]]:
    """(axis, side) of the faces whose four edges are all crossed."""

    def is_crossed(edge: int) -> bool:
        a, b = CUBE_EDGES[edge]
        return (case >> a & 1) != (case >> b & 1)

    return [(axis, side) for axis, side, edges in _FACES if all(map(is_crossed, edges))]


@cache
def case_table() -> CaseTable:
    """The table on the CPU, built once per process (a few milliseconds)."""
    loop_of_edge = torch.full((256, 12), -1, dtype=torch.int64)
    num_loops = torch.zeros(256, dtype=torch.int64)
    ambiguous_step = torch.zeros(256, 3, dtype=torch.int64)
    for case in range(256):
        loops = case_loops(case)
        num_loops[case] = len(loops)
        for index, edges in enumerate(loops):
            loop_of_edge[case, edges] = index
        faces = ambiguous_faces(case)
        if len(faces) == 1 and case.bit_count() >= 5:
            axis, side = faces[0]
            ambiguous_step[case, axis] = 1 if side else -1
    return CaseTable(loop_of_edge, num_loops, ambiguous_step)
