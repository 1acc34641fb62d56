"""Cutting the one object of a photograph out of its background, with rembg (extra `background`).

    image = background_remover()(image)          # RGBA; alpha 0 outside the object

The models run through onnxruntime and are downloaded by rembg on first use. The default is the one the published
TRELLIS pipelines use; every model of the table may be used commercially, others only by explicit permission.
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from scenewright.encoders.preprocess.crop import BackgroundRemover
from scenewright.errors import InputError, MissingExtraError, WeightsError
from scenewright.weights.hub import refuse_download

__all__ = ["BACKGROUND_MODELS", "DEFAULT_BACKGROUND_MODEL", "background_remover"]

logger = logging.getLogger(__name__)

DEFAULT_BACKGROUND_MODEL = "u2net"
BACKGROUND_MODELS = {
    "birefnet-general": "MIT",
    "birefnet-general-lite": "MIT",
    "isnet-general-use": "Apache-2.0",
    "silueta": "Apache-2.0",
    "u2net": "Apache-2.0",
    "u2netp": "Apache-2.0",
}
"""rembg's names of models that may be used for any purpose, with their licences. BiRefNet (1 GB) is TRELLIS.2's."""


def background_remover(
    model: str = DEFAULT_BACKGROUND_MODEL, *, allow_other_licences: bool = False
) -> BackgroundRemover:
    """A function from a picture to the same picture as RGBA, transparent outside its main object.

    The network is loaded on the first call.

    Args:
        model: a name of `BACKGROUND_MODELS`; with `allow_other_licences` any name that rembg knows.

    Raises:
        InputError: the model is not in the table and no permission is given.
        MissingExtraError: rembg is not installed.
    """
    if model not in BACKGROUND_MODELS and not allow_other_licences:
        raise InputError(
            f"Expected a background model of {', '.join(sorted(BACKGROUND_MODELS))}, got '{model}'; "
            "others may forbid commercial use, so pass allow_other_licences=True if that is fine for you."
        )
    try:
        import rembg
    except (ImportError, SystemExit) as error:  # rembg exits when no onnxruntime is installed beside it
        raise MissingExtraError("Removing the background of a photograph", "background") from error
    sessions: list[object] = []

    def remove(image: Image.Image) -> Image.Image:
        if not sessions:
            sessions.append(_session(rembg.new_session, model))
        return rembg.remove(image.convert("RGB"), session=sessions[0]).convert("RGBA")

    return remove


def _session(new_session: Callable[[str], object], model: str) -> object:
    folder = os.environ.get("U2NET_HOME") or "~/.u2net"
    refuse_download(Path(folder).expanduser() / f"{model}.onnx", f"The background model '{model}'")
    logger.info("Loading background model %s (%s)", model, BACKGROUND_MODELS.get(model, "licence not checked"))
    try:
        return new_session(model)
    except ValueError as error:
        raise InputError(f"rembg knows no background model '{model}' ({error}).") from error
    except Exception as error:  # download and runtime errors of several libraries
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"The background model '{model}' could not be loaded ({reason}); check the network, "
            "or give a picture whose background is already transparent."
        ) from error
