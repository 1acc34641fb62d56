"""Builds a release and proves that it can be installed: sdist, wheel, clean environments, demo, bill of materials.

    uv run python -m scripts.check_release                                    # Python 3.11, 3.12 and 3.13 from PATH
    uv run python -m scripts.check_release --python /opt/python3.13/bin/python3.13

1. `uv build` makes the sdist and, from the sdist alone, the wheel. Both must be below 100 MB, the wheel must hold
   `py.typed`, the licence and the weights that ship, and versions must agree (pyproject.toml, package, CITATION.cff,
   CHANGELOG.md).
2. For each Python: an empty environment, `pip install` of the wheel, `pip check`, `scenewright demo` outside the
   repository, and a look whether its scene opens.
3. The bill of materials (CycloneDX 1.6) of the last environment lies beside the wheel; a package under GPL or AGPL ends
   the check.

An interpreter that is missing ends the check with exit code 1, after all others were tried.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MAX_BYTES = 100_000_000
NEEDED = (
    "scenewright/py.typed",
    "scenewright/assets/living_room/rgb.jpg",
    "scenewright/assets/mini/scenegen.safetensors",
)
_SBOM_GENERATOR = "cyclonedx-bom>=7"
_REFUSED_LICENCE = re.compile(r"\bA?GPL\b|\bA?GPL-|General Public Licen[cs]e")
_OPENS = """
import sys, scenewright
scene = scenewright.load_scene(sys.argv[1])
faces = sum(len(part.faces) for item in scene.objects for part in item.parts)
print(f"{len(scene.objects)} objects, {faces} triangles")
"""


def versions(root: Path = ROOT) -> dict[str, str]:
    """The version of the release, in each file that states it."""
    citation = re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text(), re.MULTILINE)
    package = re.search(r'^__version__ = "(.+)"$', (root / "src/scenewright/__init__.py").read_text(), re.MULTILINE)
    newest = re.search(r"^## (\S+)", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation is not None
    assert package is not None
    assert newest is not None
    return {
        "pyproject.toml": tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"],
        "scenewright.__version__": package[1],
        "CITATION.cff": citation[1],
        "CHANGELOG.md": newest[1],
    }


def faults_of_wheel(wheel: Path) -> list[str]:
    """What a wheel lacks or has too much of, a sentence each."""
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    faults = [f"{wheel.name} lacks {name}" for name in NEEDED if name not in names]
    if not any(name.endswith(".dist-info/licenses/LICENSE") for name in names):
        faults.append(f"{wheel.name} lacks its licence")
    faults += [f"{wheel.name} holds {name}" for name in names if "__pycache__" in name or name.startswith("tests/")]
    return faults + faults_of_size(wheel)


def faults_of_size(path: Path) -> list[str]:
    """A sentence if a file is larger than what package indexes take by default."""
    size = path.stat().st_size
    return [f"{path.name} has {size:,} bytes, more than {MAX_BYTES:,}"] if size > MAX_BYTES else []


def refused_licences(components: Sequence[dict[str, Any]]) -> list[str]:
    """The components of a CycloneDX document that stand under GPL or AGPL alone (LGPL is none of them)."""
    refused = []
    for component in components:
        stated = [
            entry.get("expression") or entry["license"].get("id") or entry["license"].get("name", "")
            for entry in component.get("licenses", ())
        ]
        if any(_REFUSED_LICENCE.search(text) and " OR " not in text and "Lesser" not in text for text in stated):
            refused.append(f"{component['name']} {component['version']}: {', '.join(stated)}")
    return refused


def _run(*command: str | Path, folder: Path = ROOT, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run([str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-4000:]}{done.stderr[-4000:]}")
    return done.stdout.strip()


def build(out: Path) -> Path:
    """The wheel, built from the sdist beside it."""
    shutil.rmtree(out, ignore_errors=True)
    _run("uv", "build", "--out-dir", out)
    (sdist,), (wheel,) = out.glob("*.tar.gz"), out.glob("*.whl")
    stated = versions()
    faults = faults_of_wheel(wheel) + faults_of_size(sdist)
    if len(set(stated.values())) > 1:
        faults.append(f"versions differ: {stated}")
    if faults:
        raise SystemExit("\n".join(faults))
    print(f"{sdist.name} {sdist.stat().st_size / 1e6:.1f} MB, {wheel.name} {wheel.stat().st_size / 1e6:.1f} MB")
    return wheel


def interpreter(name: str) -> tuple[Path, str] | None:
    """A Python that answers, and its version; a name on PATH may be a shim that leads nowhere."""
    path = shutil.which(name)
    if path is None:
        return None
    done = subprocess.run([path, "-c", "import platform; print(platform.python_version())"], capture_output=True)
    return (Path(path), done.stdout.decode().strip()) if done.returncode == 0 else None


def install_and_run(python: Path, wheel: Path, folder: Path) -> Path:
    """The interpreter of a new environment in `folder` in which the wheel is installed and its demo ran."""
    _run(python, "-m", "venv", folder / "environment")
    own = folder / "environment" / ("Scripts" if os.name == "nt" else "bin") / "python"
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    begin = time.perf_counter()
    _run(own, "-m", "pip", "install", "--quiet", wheel, folder=folder, environment=clean)
    _run(own, "-m", "pip", "check", folder=folder, environment=clean)
    installed = time.perf_counter()
    _run(own, "-W", "error", "-c", "import scenewright", folder=folder, environment=clean)
    _run(own, "-m", "scenewright", "demo", folder=folder, environment=clean)
    scene = _run(own, "-c", _OPENS, folder / "demo" / "scene.glb", folder=folder, environment=clean)
    print(f"  installed in {installed - begin:.0f} s, demo in {time.perf_counter() - installed:.0f} s: {scene}")
    return own


def bill_of_materials(python: Path, target: Path) -> None:
    """Writes what is installed beside an interpreter as CycloneDX JSON, with licences."""
    generator = ("uvx", "--from", _SBOM_GENERATOR, "cyclonedx-py", "environment")
    _run(*generator, "--pyproject", ROOT / "pyproject.toml", "--output-reproducible", "-o", target, python)
    components = json.loads(target.read_text())["components"]
    if refused := refused_licences(components):
        raise SystemExit("Packages under a licence that is refused:\n" + "\n".join(refused))
    print(f"{target.name}: {len(components)} packages, none under GPL or AGPL")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", nargs="+", default=["python3.11", "python3.12", "python3.13"])
    parser.add_argument("--out", type=Path, default=ROOT / "dist")
    chosen = parser.parse_args(arguments)
    wheel, missing = build(chosen.out.absolute()), []
    for name in chosen.python:
        found = interpreter(name)
        if found is None:
            missing.append(name)
            continue
        print(f"Python {found[1]}", flush=True)
        with tempfile.TemporaryDirectory(prefix="scenewright-release-") as folder:
            own = install_and_run(found[0], wheel, Path(folder))
            bill_of_materials(own, wheel.with_name(f"{wheel.stem}.cdx.json"))
    if missing:
        print(f"NOT RUN, as no such interpreter answers here: {', '.join(missing)}")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
