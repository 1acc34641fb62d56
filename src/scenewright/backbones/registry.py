"""All backbones; a new one is its folder and one line here."""

from collections.abc import Mapping

from scenewright.backbones import trellis1, trellis2
from scenewright.backbones.spec import BackboneSpec
from scenewright.errors import InputError

__all__ = ["BACKBONES", "backbone", "check_options", "check_pictures"]

BACKBONES: tuple[BackboneSpec, ...] = (trellis1.SPEC, trellis2.SPEC)


def backbone(name: str) -> BackboneSpec:
    """The backbone of that name.

    Raises:
        InputError: there is none.
    """
    for spec in BACKBONES:
        if spec.name == name:
            return spec
    raise InputError(f"Expected a backbone out of {', '.join(spec.name for spec in BACKBONES)}, got '{name}'.")


def check_options(spec: BackboneSpec, options: Mapping[str, object], *, chosen_by: str = "--backbone") -> None:
    """Refuses options (those that are not None) that the backbone would silently ignore.

    Raises:
        InputError: an option is of other backbones only, or has a value that it may not have.
    """
    for name, value in options.items():
        if value is None:
            continue
        option = f"--{name.replace('_', '-')}"
        if name not in spec.options:
            others = " or ".join(other.name for other in BACKBONES if name in other.options)
            raise InputError(f"{option} works only with {chosen_by} {others}; leave it out.")
        allowed = spec.options[name]
        if allowed and value not in allowed:
            *first, last = map(str, allowed)
            raise InputError(f"Expected {option} {', '.join(first)} or {last}, got {value}.")


def check_pictures(spec: BackboneSpec, count: int) -> None:
    """Refuses more pictures of an object than the backbone reads.

    Raises:
        InputError: there is none, or there are too many.
    """
    if count < 1:
        raise InputError("Expected at least one picture of the object, got none.")
    if spec.max_pictures is not None and count > spec.max_pictures:
        others = " or ".join(other.name for other in BACKBONES if other.max_pictures is None)
        most = "one picture" if spec.max_pictures == 1 else f"up to {spec.max_pictures} pictures"
        raise InputError(f"{spec.name} makes an object from {most}, got {count}; use --backbone {others}.")
