"""Condition tokens: outline and place are readable from them, and the fit keeps what varies."""

import torch

from scenewright.systems.mini.conditioner import ConditionerConfig, PictureConditioner


def fitted() -> PictureConditioner:
    torch.manual_seed(0)
    conditioner = PictureConditioner(ConditionerConfig(num_components=12, num_frequencies=4)).eval()
    conditioner.fit([torch.rand(6, 4, 64, 64)])
    return conditioner


def test_tokens_hold_features_outline_and_place() -> None:
    conditioner = fitted()
    pictures = torch.rand(2, 4, 64, 64)
    pictures[:, 3] = 0
    pictures[0, 3, :16, 16:32] = 1
    tokens = conditioner(pictures)
    assert tokens.shape == (2, 16, conditioner.config.channels)
    assert conditioner.config.channels == 12 + 16 + 16
    outline = tokens[0, :, 12:28]
    assert (outline[1] == 1).all()
    assert (outline[[0, *range(2, 16)]] == -1).all()
    places = tokens[:, :, 28:]
    assert torch.equal(places[0], places[1])
    distances = torch.cdist(places[0], places[0]) + 10 * torch.eye(16)
    assert distances.min() > 0.1


def test_components_are_decorrelated_with_the_strongest_first() -> None:
    conditioner = fitted()
    tokens = conditioner(torch.rand(6, 4, 64, 64, generator=torch.Generator().manual_seed(0)))
    deviation = tokens[..., :12].flatten(0, 1).std(0)
    assert deviation[0] > deviation[-1]
    assert not any(parameter.requires_grad for parameter in conditioner.parameters())


def test_strangeness_is_measured_against_the_training_pictures() -> None:
    conditioner = fitted()
    # One object smaller than a token: the token that it covers most stands for it.
    pictures = torch.rand(8, 4, 64, 64, generator=torch.Generator().manual_seed(1))
    pictures[0, 3] = 0
    pictures[0, 3, 20:24, 20:24] = 1
    scores = conditioner.strangeness(pictures)
    assert scores.shape == (8,)
    assert torch.isfinite(scores).all()
    assert scores.min() > 0
    # Features of sixteen times the strength are strange, and so are features of a sixteenth.
    for factor in (4.0, 0.25):
        other = fitted()
        other.deviation *= factor
        assert other.strangeness(pictures).min() > 2


def test_training_pictures_are_usual() -> None:
    torch.manual_seed(0)
    conditioner = PictureConditioner(ConditionerConfig(num_components=12)).eval()
    pictures = torch.rand(16, 4, 64, 64)
    conditioner.fit([pictures])
    assert float(conditioner.strangeness(pictures).quantile(0.8)) <= 1
