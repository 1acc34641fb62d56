"""Kinds of uploaded files: a suffix that the first bytes tell, whatever a client calls the file. Nothing is decoded."""

__all__ = ["HEAD_BYTES", "suffix_of"]

HEAD_BYTES = 256
_STARTS = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"II+\0", ".tif"),  # of more than 4 GB, and of who writes all of them so
    (b"MM\0+", ".tif"),
    (b"\x76\x2f\x31\x01", ".exr"),
    (b"#?RADIANCE", ".hdr"),
    (b"#?RGBE", ".hdr"),
    (b"\x93NUMPY", ".npy"),
    (b"PK\x03\x04", ".zip"),
    (b"glTF", ".glb"),
    (b"ply\n", ".ply"),
    (b"ply\r", ".ply"),
)
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_BRANDS = {b"avif": ".avif", b"avis": ".avif"} | dict.fromkeys(_HEIC_BRANDS, ".heic")
_ZIP_NAME = slice(30, None)  # of a .zip's first file


def suffix_of(head: bytes) -> str:
    """The suffix of a file that begins with these bytes; "" of a kind that is not read here."""
    if head.startswith(b"PK\x03\x04") and head[_ZIP_NAME][: int.from_bytes(head[26:28], "little")].endswith(b".npy"):
        return ".npz"  # arrays in a .zip
    for start, suffix in _STARTS:
        if head.startswith(start):
            return suffix
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return {b"{": ".json", b"[": ".json", b"<": ".xml"}.get(text[:1], "")
