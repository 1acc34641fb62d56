"""Runs benchmarks, and keeps what they found in RESULTS.md and results.json.

    python -m benchmarks                                  the names of all
    python -m benchmarks structure_flow --blocks 1        prints one, with sizes of choice (arguments of its `section`)
    python -m benchmarks --all                            runs all and writes RESULTS.md, section by section
    python -m benchmarks --only bake rendering            the same with some
    python -m benchmarks --all --against COMMIT           the same, and fails where a ratio got worse by more than 10 %

Each runs in a process of its own. In RESULTS.md its tables stand between two comments, with machine, date, commit and
the ratios that matter; everything else on the page is people's and stays. Where calls are timed in turns on a CPU, the
seconds are the processor's. A section that was measured at this commit and on this machine already is kept, unless
`--again` is given, so that a run goes on where another one ended.
`--quick` takes toy sizes, to try the benchmarks themselves, and writes nothing without `--out FOLDER`. `--against`
takes a commit or a file like results.json; without `--all` or `--only` it compares what results.json holds.
"""

import argparse
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.measure import in_new_process, machine, run_one

HERE = Path(__file__).parent
WORSE = 1.1
Results = dict[str, dict[str, Any]]


def names() -> list[str]:
    """Every module of this folder that is a benchmark."""
    return sorted(path.stem for path in HERE.glob("*.py") if "\ndef section(" in path.read_text())


def commit() -> str:
    """The last commit that changed the code, and whether there are changes since."""
    code = ("--", "src", "benchmarks/*.py")
    last = _git("log", "-1", "--format=%h", *code)
    return f"{last} with changes" if _git("status", "--porcelain", *code) else last


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=HERE.parent, capture_output=True, text=True, check=True).stdout.strip()


def run(
    chosen: Iterable[str], out: Path | None, *, is_quick: bool = False, is_again: bool = False
) -> tuple[Results, list[str]]:
    """Runs benchmarks one after the other and writes each down as it ends.

    Args:
        out: folder of RESULTS.md and results.json; None writes nothing.
        is_quick: toy sizes.
        is_again: also those that are known for this commit and machine.

    Returns:
        What is known of all, and the names of those that failed.
    """
    known = read_results(out / "results.json") if out is not None else {}
    here = {"machine": machine(), "commit": commit(), "quick": is_quick}
    failed = []
    for name in chosen:
        is_changed = "with changes" in here["commit"]
        if not is_again and not is_changed and here.items() <= known.get(name, {}).items():
            print(f"{name}: known for this commit and machine")
            continue
        print(f"\n## {name}", flush=True)
        try:
            lines, ratios, missing = in_new_process(run_one, name, is_quick)
        except Exception as error:  # whatever it is, the others run
            print(f"{name} failed: {type(error).__name__}: {error}", file=sys.stderr)
            failed.append(name)
            continue
        if missing:
            print(f"{name}: left out, needs {missing}")
            continue
        known[name] = here | {"date": f"{datetime.now(UTC):%Y-%m-%d}", "ratios": ratios}
        if out is not None:
            write(out, known, name, lines)
    return known, failed


def read_results(path: Path) -> Results:
    """The results in a file; none where it is not there."""
    found: Results = json.loads(path.read_text()) if path.exists() else {}
    return found


def write(out: Path, results: Results, name: str, lines: list[str]) -> None:
    """Puts one section into RESULTS.md, and all ratios into results.json."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    page, own = out / "RESULTS.md", results[name]
    ratios = "; ".join(f"{key} **{value:.3g}**" for key, value in own["ratios"].items())
    facts = f"{own['machine']}; {own['date']}, commit {own['commit']}{'; toy sizes' if own['quick'] else ''}."
    block = "\n".join([facts, "", *lines, *(["", f"Ratios: {ratios}."] if ratios else [])])
    text = page.read_text() if page.exists() else "# Benchmark results\n"
    page.write_text(with_section(text, name, block))


def with_section(page: str, name: str, block: str) -> str:
    """The page with what was measured of one benchmark in place of what it had.

    A first time goes to the end of the section whose heading names the script, or into a new section.
    """
    begin, end = f"<!-- measured: {name} -->", f"<!-- end of {name} -->"
    body = f"{begin}\n{re.sub(chr(10) + '{3,}', chr(10) * 2, block).strip()}\n{end}"
    if begin in page:
        before, rest = page.split(begin, 1)
        return before + body + rest.split(end, 1)[1]
    parts = re.split(r"(?m)^(?=## )", page)
    for index, part in enumerate(parts):
        if f"benchmarks/{name}.py" in part.splitlines()[0]:
            parts[index] = f"{part.rstrip()}\n\n{body}\n{chr(10) if index + 1 < len(parts) else ''}"
            return "".join(parts)
    title = (HERE / f"{name}.py").read_text().removeprefix('"""').splitlines()[0].rstrip(".")
    return f"{page.rstrip()}\n\n## {title} (`benchmarks/{name}.py`)\n{body}\n"


def worse(now: Results, before: Results, chosen: Iterable[str]) -> list[str]:
    """A sentence for every ratio that is more than 10 % above what it was; other sizes are not compared."""
    found = []
    for name in chosen:
        new, old = now.get(name), before.get(name)
        if new is None or old is None or new["quick"] != old["quick"]:
            continue
        elsewhere = "" if new["machine"] == old["machine"] else f" (then on {old['machine']})"
        for key, value in new["ratios"].items():
            if key in old["ratios"] and value > WORSE * old["ratios"][key]:
                found.append(f"{name}: {key} was {old['ratios'][key]:.3g} and is {value:.3g}{elsewhere}")
    return found


def results_of(place: str) -> Results:
    """The results in a file, or those that a commit holds."""
    if Path(place).is_file():
        return read_results(Path(place))
    found: Results = json.loads(_git("show", f"{place}:benchmarks/results.json"))
    return found


def one(name: str, words: list[str]) -> int:
    """Prints one benchmark, with arguments of its `section` as options."""
    module = import_module(f"benchmarks.{name}")
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="toy sizes")
    for argument in list(inspect.signature(module.section).parameters.values())[1:]:
        option, default = f"--{argument.name.replace('_', '-')}", argument.default
        if isinstance(default, bool):
            parser.add_argument(option, action="store_true", default=argparse.SUPPRESS)
        elif isinstance(default, tuple):
            parser.add_argument(option, type=type(default[0]), nargs="+", default=argparse.SUPPRESS)
        else:
            kind = Path if isinstance(default, Path) else type(default)
            parser.add_argument(option, type=kind, default=argparse.SUPPRESS)
    given = vars(parser.parse_args(words))
    is_quick = given.pop("quick")
    sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    print(f"{machine()}; commit {commit()}")
    _, ratios, missing = run_one(name, is_quick, sizes)
    for key, value in ratios.items():
        print(f"{key}: {value:.3g}")
    if missing:
        print(f"{name} needs {missing}", file=sys.stderr)
    return int(bool(missing))


def main(words: list[str]) -> int:
    if words and words[0] in names():
        return one(words[0], words[1:])
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--only", nargs="+", default=[], choices=names())
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--against", metavar="FILE_OR_COMMIT")
    given = parser.parse_args(words)
    chosen = names() if given.all else given.only
    if not chosen and given.against is None:
        print("\n".join(names()))
        return 0
    before = {} if given.against is None else results_of(given.against)
    out = given.out or (None if given.quick else HERE)
    now, failed = run(chosen, out, is_quick=given.quick, is_again=given.again)
    slower = worse(now, before, chosen or names())
    for line in slower:
        print(f"worse: {line}", file=sys.stderr)
    return int(bool(failed or slower))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
