"""Choices that were left open: the precision that `auto` finds stands in the settings, and so in the manifest."""

import pytest
import torch

from scenewright.runs import choices
from scenewright.runs.choices import chosen_settings
from scenewright.runs.manifest import GenerateSettings


def settings(**given):
    return GenerateSettings("a.png", ("b.png",), **({"system": "scenegen", "weights": "published"} | given))


@pytest.mark.parametrize(("found", "expected"), [(torch.bfloat16, "bfloat16"), (None, None)])
def test_a_precision_that_was_left_open_is_the_measured_one(monkeypatch, found, expected):
    monkeypatch.setattr(choices, "fitting_dtype", lambda *given, **options: found)
    assert chosen_settings(settings())[0].dtype == expected
    assert chosen_settings(settings(dtype="float32"))[0].dtype == "float32"


@pytest.mark.parametrize("given", [{"weights": "mini"}, {"system": "cuboid", "weights": None}])
def test_what_has_no_use_for_a_precision_measures_none(monkeypatch, given):
    monkeypatch.setattr(choices, "fitting_dtype", lambda *given, **options: pytest.fail("measured"))
    assert chosen_settings(settings(**given))[0].dtype is None
