"""All scene systems; a new one is its folder and one line here."""

from scenewright.errors import InputError
from scenewright.systems.baselines.spec import CUBOID, POISSON, RETRIEVAL
from scenewright.systems.genrecon.spec import SPEC as GENRECON
from scenewright.systems.inspace.spec import SPEC as INSPACE
from scenewright.systems.iscene.spec import SPEC as ISCENE
from scenewright.systems.scenegen.spec import SPEC as SCENEGEN
from scenewright.systems.spec import SystemSpec

__all__ = ["DEFAULT_SYSTEM", "SPECS", "find_system", "usable_systems"]

SPECS: tuple[SystemSpec, ...] = (SCENEGEN, ISCENE, INSPACE, GENRECON, CUBOID, RETRIEVAL, POISSON)
DEFAULT_SYSTEM = SCENEGEN.name


def usable_systems() -> tuple[SystemSpec, ...]:
    """The systems that this version can generate with."""
    return tuple(spec for spec in SPECS if spec.open)


def find_system(name: str) -> SystemSpec:
    """The system of that name.

    Raises:
        InputError: there is none, or this version cannot generate with it.
    """
    names = ", ".join(spec.name for spec in usable_systems())
    for spec in SPECS:
        if spec.name == name:
            if not spec.open:
                raise InputError(f"This version knows the weights of '{name}' but cannot use them yet; use {names}.")
            return spec
    raise InputError(f"Expected a system out of {names}, got '{name}'.")
