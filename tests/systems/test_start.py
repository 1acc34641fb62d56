"""What opening a system imports: nothing that a first scene would wait for and not need before it samples."""

import subprocess
import sys

CODE = """
import sys
from scenewright.systems.loading import load, shipped_systems

def imported(*names):
    return [name for name in names if name in sys.modules]

systems = set(shipped_systems())
for name in systems - {"genrecon"}:
    load(name, "mini")
found = imported("numba", "scipy.optimize", "scipy.spatial")
for name in systems & {"genrecon"}:
    load(name, "mini")
print(found + imported("torch._dynamo", "sympy", "mujoco", "transformers"))
"""


def test_opening_mini_imports_no_compiler_and_no_simulator():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
