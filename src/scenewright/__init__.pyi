"""The public names for type checkers and editors; `__init__.py` loads them when they are first used."""

from scenewright.encoders.masks.finding import find_masks as find_masks
from scenewright.errors import ScenewrightError as ScenewrightError
from scenewright.evaluation.evaluating import evaluate as evaluate
from scenewright.io.conversion import convert as convert
from scenewright.io.scene_file import load_scene as load_scene
from scenewright.rendering.still import render as render
from scenewright.runs.in_memory import generate as generate
from scenewright.systems.loading import load as load
from scenewright.types import Camera as Camera
from scenewright.types import Gaussians as Gaussians
from scenewright.types import Mesh as Mesh
from scenewright.types import ObjectMasks as ObjectMasks
from scenewright.types import PBRMaterial as PBRMaterial
from scenewright.types import Scene as Scene
from scenewright.types import SceneObject as SceneObject
from scenewright.types import View as View

__version__: str
