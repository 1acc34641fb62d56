"""Warnings that a command prints itself, once, as repairs and notes of the run."""

import logging

__all__ = ["keep_repeated_warnings_quiet"]


def keep_repeated_warnings_quiet() -> None:
    """Keeps logging from printing warnings about masks and objects a second time, where nobody has set it up."""
    for name in ("encoders.masks", "systems"):
        logger = logging.getLogger(f"scenewright.{name}")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
