"""What opening a system imports: nothing that a first scene would wait for and not need."""

import subprocess
import sys

CODE = """
import sys
from scenewright.systems.loading import load, shipped_systems
for name in shipped_systems():
    load(name, "mini")
print([name for name in ("torch._dynamo", "sympy", "mujoco", "transformers") if name in sys.modules])
"""


def test_opening_mini_does_not_import_the_compiler_or_the_simulator():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
