"""What is known of backbones before networks are loaded agrees with the networks' own settings."""

import pytest

from scenewright.backbones.registry import BACKBONES, backbone, check_options, check_pictures
from scenewright.backbones.spec import BackboneSpec
from scenewright.backbones.trellis2.config import SHAPE_SAMPLER
from scenewright.backbones.trellis2.plans import plan_named
from scenewright.errors import InputError
from scenewright.samplers.config import SamplerConfig
from scenewright.systems.catalogue import all_records


@pytest.mark.parametrize("spec", BACKBONES, ids=lambda spec: spec.name)
def test_a_spec_names_what_there_is(spec: BackboneSpec) -> None:
    assert backbone(spec.name) is spec
    assert callable(spec.decoder_class().from_pretrained)
    assert callable(spec.objects_class().from_pretrained)
    assert set(spec.networks) <= set(all_records())
    assert all(plan_named(plan) for plan in spec.resolutions.values())
    assert tuple(spec.resolutions) == spec.options.get("resolution", ())


def test_published_settings_in_help_are_those_of_the_networks() -> None:
    for spec, published in zip(BACKBONES, (SamplerConfig(), SHAPE_SAMPLER), strict=True):
        assert (spec.steps, spec.guidance_strength) == (published.steps, published.guidance_strength)


def test_options_without_effect_are_refused_with_the_way_out() -> None:
    first, second = BACKBONES
    check_options(first, {"resolution": None, "multi_image": "stochastic", "splats": "a.ply"})
    with pytest.raises(InputError, match="--resolution works only with --decoder trellis2"):
        check_options(first, {"resolution": 512}, chosen_by="--decoder")
    with pytest.raises(InputError, match="--multi-image stochastic or multidiffusion, got often"):
        check_options(first, {"multi_image": "often"})
    check_pictures(first, 7)
    with pytest.raises(InputError, match="from one picture, got 2; use --backbone trellis1"):
        check_pictures(second, 2)
    with pytest.raises(InputError, match="a backbone out of trellis1, trellis2, got 'banana'"):
        backbone("banana")
