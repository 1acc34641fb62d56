"""The names of `import scenewright`: all there, nothing else, and nothing heavy before one is used."""

import ast
import subprocess
import sys
from pathlib import Path

import scenewright


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after a statement."""
    code = f"{statement}; import sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_every_public_name_is_exported_sorted_and_there() -> None:
    assert scenewright.__all__ == sorted(scenewright.__all__)
    assert {name for name in dir(scenewright) if not name.startswith("_")} >= set(scenewright.__all__)
    for name in scenewright.__all__:
        value = getattr(scenewright, name)
        assert value.__name__ == name
        assert value.__doc__, f"{name} has no docstring"


def test_type_checkers_see_the_same_names() -> None:
    stub = ast.parse(Path(scenewright.__file__).with_suffix(".pyi").read_text())
    names = [name.asname for node in stub.body if isinstance(node, ast.ImportFrom) for name in node.names]
    assert sorted(names, key=str) == scenewright.__all__


def test_the_package_and_the_command_line_load_no_heavy_library() -> None:
    heavy = {"torch", "numpy", "PIL", "scipy", "numba", "transformers", "trimesh"}
    assert not loaded_by("import scenewright") & heavy
    assert not loaded_by("import scenewright.cli.app") & heavy
