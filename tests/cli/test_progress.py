"""The bar of a whole run: time left that is right early, at any pace, and stages that nobody expects."""

import pytest

from scenewright.cli.progress import TimeLeft, run_bar

EXPECTED = {"load": 1.0, "encode": 1.0, "structure": 6.0, "shape": 2.0, "finish": 4.0, "draw": 2.0}


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def replay(pace: float, objects: int = 2) -> list[tuple[float, float]]:
    """Seconds passed and the seconds then said to be left, of a run that takes `pace` times what was expected."""
    clock = Clock()
    noted: list[tuple[float, float]] = []
    left = TimeLeft(EXPECTED, objects, clock=clock, on_change=lambda name: None)

    def spend(seconds: float, parts: int, tell=lambda done, total: None) -> None:
        for part in range(parts):
            clock.now += seconds * pace / parts
            tell(part + 1, parts)
            noted.append((clock.now - 100, left.seconds_left))

    spend(EXPECTED["load"], 1)
    for name in ("encode", "structure", "shape"):
        spend(EXPECTED[name], 8, left.stage(name))
    for number in range(objects):
        for step in ("clean", "bake"):
            left.stage(f"object_{number}: {step}")
            spend(EXPECTED["finish"] / objects / 2, 1)
    left.stage("draw")
    spend(EXPECTED["draw"], 1)
    return noted


@pytest.mark.parametrize("pace", [0.3, 1.0, 3.0])
def test_time_left_is_right_within_30_percent_after_a_tenth(pace):
    noted = replay(pace)
    total = noted[-1][0]
    early = [(passed, left) for passed, left in noted if 0.1 * total <= passed <= 0.9 * total]
    assert len(early) > 15
    for passed, left in early:
        assert abs(passed + left - total) < 0.3 * total


def test_the_share_done_never_falls_and_unknown_stages_change_nothing():
    left = TimeLeft(EXPECTED, 2)
    shares = [left.fraction]
    for name, done in (("encode", 1), ("structure", 1), ("structure", 2), ("mend", 2), ("shape", 0), ("b: bake", 1)):
        left.stage(name)(done, 2)
        shares.append(left.fraction)
    assert shares == sorted(shares)
    assert shares[4] == shares[3] == pytest.approx(8 / 16)
    left.stage("draw")(1, 1)
    assert left.fraction == 1
    assert left.seconds_left == 0


def test_a_stage_that_says_nothing_moves_on_with_the_clock():
    clock = Clock()
    left = TimeLeft(EXPECTED, clock=clock)
    left.stage("structure")
    shares = []
    for _ in range(10):
        clock.now += 1
        shares.append(left.fraction)
    assert shares == sorted(shares)
    assert shares[0] < shares[2] < shares[-1] < 8 / 16
    left.stage("draw")
    assert left.fraction >= 14 / 16


def test_a_system_that_finds_its_objects_tells_how_many():
    def expected(number: int) -> dict[str, float]:
        return {"structure": 4.0, "objects": 0.0, "finish": 2.0 * number}

    left = TimeLeft(expected(8), 8, again=expected)
    left.stage("structure")(1, 1)
    assert left.fraction == pytest.approx(0.2)
    left.stage("objects")(1, 2)
    assert left.fraction == pytest.approx(0.5)
    left.stage("0: bake")
    left.stage("1: bake")
    assert left.fraction == pytest.approx(0.75, abs=0.01)


def test_a_run_that_nothing_is_known_of_has_the_bar_of_its_stages(capsys):
    for expected in ({}, EXPECTED):
        with run_bar(expected, 1) as bar:
            bar.stage("structure")(1, 2)
