"""On a machine's first run, a second process compiles the kernels of the last stages while the networks sample.

numba compiles a kernel when it is first called and keeps it on disk, so only the first run after an installation or an
update pays: 28 seconds of the processor, half of it for finishing meshes and drawing. What the stages before them need,
the run compiles itself; both write to the same cache.
"""

import atexit
import subprocess
import sys
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from scenewright.compiled import kept_in
from scenewright.geometry.mesh.finish import finish_mesh
from scenewright.geometry.mesh.finish_options import FinishOptions
from scenewright.machine import available_cores
from scenewright.rendering import shade_numba
from scenewright.rendering.preview import PreviewStyle, preview_still
from scenewright.rendering.sheet import top_view
from scenewright.types import Mesh, Scene, SceneObject

__all__ = ["compile_ahead", "compile_last_stages"]


def compile_ahead() -> None:
    """Starts that process if there is a processor for it and the kernels are not compiled; it ends with this one."""
    if available_cores() < 2 or _are_compiled():
        return
    code = f"from {__name__} import compile_last_stages; compile_last_stages()"
    # The parent's streams are no place for what goes wrong here: the run itself will compile, and say it.
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, "-P", "-c", code], stdin=nowhere, stdout=nowhere, stderr=nowhere)
    atexit.register(process.kill)


def compile_last_stages() -> None:
    """Draws and finishes something small, so that numba compiles and keeps what the last stages call."""
    corners = torch.cat([torch.zeros(1, 3), torch.eye(3)])
    faces = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]], dtype=torch.int32)
    finished = finish_mesh(Mesh(corners, faces), _Grey(), FinishOptions(texture_size=64))
    scene = Scene((SceneObject("shape", (finished,)),))
    preview_still(scene, style=PreviewStyle(size=32))
    top_view(scene, 32)


def _are_compiled() -> bool:
    """Whether numba keeps a compiled `shade_rows`, the slowest of them, that is newer than its source."""
    source = Path(shade_numba.__file__)
    # Beside the source, as a rule; where that is not writable, numba itself must be asked, which takes half a second.
    return _is_newer(source.parent / "__pycache__", source) or _is_newer(kept_in(shade_numba.shade_rows), source)


def _is_newer(folder: Path, source: Path) -> bool:
    kept = folder.glob("shade_numba.shade_rows-*.nbi")
    return max((path.stat().st_mtime for path in kept), default=0.0) > source.stat().st_mtime


class _Grey:
    channels = ("red", "green", "blue", "metallic", "roughness")

    def at(self, points: Float[Tensor, "M 3"]) -> Float[Tensor, "M 5"]:
        return torch.full((len(points), 5), 0.5)
