"""What a job imports that opens a system: nothing that a first scene would wait for and not need before it samples."""

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
import scenewright.runs.job
print(found + imported("torch._dynamo", "sympy", "mujoco", "transformers", "scipy.stats"))
"""


def test_a_job_that_opens_mini_imports_no_compiler_no_simulator_and_no_library_of_other_networks():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
