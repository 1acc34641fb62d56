"""Lines on what settling did to a scene, from the report that its manifest holds."""

from collections.abc import Mapping
from typing import Any

__all__ = ["settle_lines"]

_HOW = {
    "mujoco": "settled in MuJoCo",
    "translations": "settled by translations alone (a simulation: pip install 'scenewright[sim]')",
}
# Overlaps up to this are contact, in metres or the scene's unit.
_TOUCHING = 0.002


def settle_lines(report: Mapping[str, Any]) -> list[str]:
    """A line on moves and overlaps, one for each object that stayed, with the reason, and one for each two of them that
    still overlap.
    """
    before, after, kept = report["penetration_before"], report["penetration_after"], report.get("kept", {})
    deepest = [max((pair["depth"] for pair in pairs), default=0.0) for pairs in (before, after)]
    lines = [
        f"{_HOW[report['method']]}: {len(report['moves'])} objects moved; overlapping pairs {len(before)} -> "
        f"{len(after)}, deepest {deepest[0]:.3f} -> {deepest[1]:.3f}"
    ]
    lines += [f"kept where it was: '{name}', as {reason}" for name, reason in kept.items()]
    for pair in after:
        first, second = pair["objects"]
        if first in kept and second in kept and pair["depth"] > _TOUCHING:
            lines.append(
                f"could not be moved apart, and both were kept: '{first}' and '{second}' overlap by {pair['depth']:.3f}"
            )
    if not report.get("is_at_rest", True):
        lines.append("some objects had not come to rest when the simulation ended")
    return lines
