"""The first bytes of an upload decide its suffix."""

import io

import pytest
from PIL import Image

from scenewright.serve.file_kinds import suffix_of


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
