"""`scenewright doctor`: what will run on this machine, and how to add what is missing."""

import typer

__all__ = ["doctor"]


def doctor() -> None:
    """Print device, memory and which optional parts are present."""
    import torch

    typer.echo(f"torch {torch.__version__}, CUDA {torch.cuda.is_available()}")
