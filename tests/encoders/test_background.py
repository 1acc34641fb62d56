"""Background removal is optional, and names its licence and its missing part."""

import importlib.util

import pytest

from scenewright.encoders.background import BACKGROUND_MODELS, DEFAULT_BACKGROUND_MODEL, background_remover
from scenewright.errors import InputError, MissingExtraError


def test_default_model_is_permissively_licensed() -> None:
    assert BACKGROUND_MODELS[DEFAULT_BACKGROUND_MODEL] in ("MIT", "Apache-2.0")


def test_models_of_other_licences_need_permission() -> None:
    with pytest.raises(InputError, match=r"got 'bria-rmbg'.*commercial"):
        background_remover("bria-rmbg")


@pytest.mark.skipif(importlib.util.find_spec("rembg") is not None, reason="rembg is installed here")
def test_missing_extra_says_what_to_install() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'scenewright\[background\]'"):
        background_remover()
