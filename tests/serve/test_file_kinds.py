"""The first bytes of an upload decide its suffix."""

import io

import numpy as np
import pytest
from PIL import Image

from scenewright.serve.file_kinds import HEAD_BYTES, suffix_of


@pytest.mark.parametrize(
    ("form", "suffix"),
    [("PNG", ".png"), ("JPEG", ".jpg"), ("WEBP", ".webp"), ("GIF", ".gif"), ("BMP", ".bmp"), ("TIFF", ".tif")],
)
def test_pictures_are_known_by_their_content(form: str, suffix: str) -> None:
    content = io.BytesIO()
    Image.new("RGB", (4, 4)).save(content, form)
    assert suffix_of(content.getvalue()[:64]) == suffix


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (b'  {"boxes": []}', ".json"),
        (b"\xef\xbb\xbf[1]", ".json"),
        (b"<?xml ?>", ".xml"),
        (b"PK\x03\x04", ".zip"),
        (b"II+\0", ".tif"),
        (b"MM\0+", ".tif"),
        (b"\0\0\0\x18ftypavis", ".avif"),
        (b"\0\0\0\x18ftyphevc", ".heic"),
        (b"\0\0\0\x18ftypisom", ""),
        (b"glTF\x02", ".glb"),
        (b"#!/bin/sh", ""),
        (b"%!PS-Adobe-3.0", ""),  # EPS runs programs
        (b"\x80\x04\x95", ""),  # a pickle
        (b"", ""),
        (b"\x7fELF", ""),
    ],
)
def test_other_kinds_are_known_or_refused(head: bytes, suffix: str) -> None:
    assert suffix_of(head) == suffix


def test_arrays_in_a_zip_are_no_archive() -> None:
    content = io.BytesIO()
    np.savez(content, masks=np.zeros((4, 4)))
    assert suffix_of(content.getvalue()[:HEAD_BYTES]) == ".npz"
