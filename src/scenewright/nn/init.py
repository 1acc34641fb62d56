"""Published initialisations of the flow transformers."""

from torch import nn

__all__ = ["initialize_flow_scaled", "initialize_flow_vanilla"]


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


def initialize_flow_scaled(
    model: nn.Module, t_embedder: nn.Module, input_layer: nn.Linear, blocks: nn.ModuleList, zeroed: list[nn.Module]
) -> None:
    """Normal linears of deviation sqrt(2 / 5C), smaller at the end of each branch: 1 / sqrt(5 * blocks * C).

    The input layer keeps unit variance, N(0, 1 / C_in); time embedding N(0, 0.02); modulation projection and output
    are zero. C is the model's width. Source: TRELLIS.2, released code ("scaled").
    """
    channels = input_layer.out_features
    branch_ends = [block.get_submodule(name) for block in blocks for name in _BRANCH_ENDS]
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=(2 / (5 * channels)) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in branch_ends:
        assert isinstance(module, nn.Linear)
        nn.init.normal_(module.weight, std=(5 * len(blocks) * channels) ** -0.5)
    nn.init.normal_(input_layer.weight, std=input_layer.in_features**-0.5)
    for module in t_embedder.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
    for module in zeroed:
        for parameter in module.parameters():
            nn.init.zeros_(parameter)


_BRANCH_ENDS = ("self_attn.to_out", "cross_attn.to_out", "mlp.mlp.2")
