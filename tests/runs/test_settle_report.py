"""Lines on settling: moves, what stayed and why, and what stayed inside each other."""

from scenewright.runs.settle_report import settle_lines


def test_two_kept_objects_that_overlap_are_said_not_to_be_moved_apart() -> None:
    depths = {("lamp", "rug"): 0.0177, ("lamp", "sofa"): 0.05, ("rug", "mat"): 0.0001}
    pairs = [{"objects": list(names), "depth": depth} for names, depth in depths.items()]
    kept = {"lamp": "it would move 2.00 m", "rug": "it would lean over by 80 degrees", "mat": "it would move 1.00 m"}
    lines = settle_lines(
        {"method": "mujoco", "penetration_before": pairs, "penetration_after": pairs, "moves": {}, "kept": kept}
    )
    assert "kept where it was: 'lamp', as it would move 2.00 m" in lines
    assert [line for line in lines if line.startswith("could not be moved apart")] == [
        "could not be moved apart, and both were kept: 'lamp' and 'rug' overlap by 0.018"
    ]
