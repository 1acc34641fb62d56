"""Kinds of uploaded files: a suffix that the first bytes tell, whatever a client calls the file. Nothing is decoded."""

__all__ = ["HEAD_BYTES", "suffix_of"]

HEAD_BYTES = 64
_STARTS = (
    (b"\x89PNG\r\n\x1a\n", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"BM", ".bmp"),
    (b"II*\0", ".tif"),
    (b"MM\0*", ".tif"),
    (b"\x76\x2f\x31\x01", ".exr"),
    (b"#?RADIANCE", ".hdr"),
    (b"#?RGBE", ".hdr"),
    (b"\x93NUMPY", ".npy"),
    (b"PK\x03\x04", ".zip"),
    (b"glTF", ".glb"),
    (b"ply\n", ".ply"),
    (b"ply\r", ".ply"),
)
_BRANDS = {b"avif": ".avif", b"heic": ".heic", b"heix": ".heic", b"mif1": ".heic", b"msf1": ".heic"}


def suffix_of(head: bytes) -> str:
    """The suffix of a file that begins with these bytes; "" of a kind that is not read here."""
    for start, suffix in _STARTS:
        if head.startswith(start):
            return suffix
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return {b"{": ".json", b"[": ".json", b"<": ".xml"}.get(text[:1], "")
