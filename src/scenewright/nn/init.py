"""Published initialisations of the flow transformers."""

from torch import nn

__all__ = ["initialize_flow_vanilla"]


def initialize_flow_vanilla(model: nn.Module, t_embedder: nn.Module, zeroed: list[nn.Module]) -> None:
    """Xavier-uniform linears with zero bias, N(0, 0.02) time embedding, zero modulation and output layers.

    Source: TRELLIS, released code ("vanilla" in TRELLIS.2).
    """
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in t_embedder.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
    for module in zeroed:
        for parameter in module.parameters():
            nn.init.zeros_(parameter)
