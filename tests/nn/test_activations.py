"""Tables of elementwise functions hold what the functions compute."""

import pytest
import torch
import torch.nn.functional as F

from scenewright.nn.activations import activated, gelu_tanh

EVERY_VALUE = torch.arange(1 << 16, dtype=torch.int32).to(torch.uint16).view(torch.bfloat16)


@pytest.mark.parametrize("function", [gelu_tanh, F.silu])
def test_every_number_of_half_precision_becomes_what_the_function_makes_of_it(function) -> None:
    x = EVERY_VALUE[torch.randperm(len(EVERY_VALUE))].view(-1, 64)
    expected = function(x)
    with torch.inference_mode():
        torch.testing.assert_close(activated(x.clone(), function), expected, rtol=0, atol=0, equal_nan=True)


def test_gradients_and_other_tensors_take_the_function_itself() -> None:
    x = torch.randn(1 << 16).bfloat16().requires_grad_()
    activated(x, F.silu).float().sum().backward()
    assert x.grad is not None
    with torch.no_grad():
        for other in (x.detach().float(), x.detach().view(2, -1).t(), x.detach()[:9]):
            kept = other.clone()
            assert torch.equal(activated(other, F.silu), F.silu(kept))
            assert torch.equal(other, kept)
