"""The compressors of .vxz streams, each with a ceiling on what it may expand to."""

import lzma
import zlib
from types import ModuleType

from scenewright.errors import MissingExtraError, ScenewrightError

__all__ = ["LEVELS", "StreamError", "compress", "decompress"]

# The level each published writer uses; recorded in the header.
LEVELS = {"none": 0, "deflate": 9, "lzma": 9, "zstd": 22}
_MAX_DICTIONARY = 64 << 20


class StreamError(ScenewrightError):
    """A stream is damaged, or longer than the header allows."""


def compress(data: bytes, compression: str) -> bytes:
    """`data` as one raw stream."""
    if compression == "deflate":
        encoder = zlib.compressobj(LEVELS["deflate"], zlib.DEFLATED, -15)
        return encoder.compress(data) + encoder.flush()
    if compression == "lzma":
        # A dictionary larger than the data changes nothing but the encoder's memory (near 700 MB at this preset).
        size = min(max(4096, len(data)), _MAX_DICTIONARY)
        filters = [{"id": lzma.FILTER_LZMA2, "preset": LEVELS["lzma"], "dict_size": size}]
        return lzma.compress(data, format=lzma.FORMAT_RAW, filters=filters)
    if compression == "zstd":
        return _zstd().compress(data, level=LEVELS["zstd"])
    return data


def decompress(data: bytes, compression: str, max_size: int) -> bytes:
    """The stream's content, at most `max_size` bytes.

    Raises:
        StreamError: the stream is damaged, cut short, followed by other bytes, or expands to more than `max_size`.
        MissingExtraError: zstd is not installed.
    """
    if compression == "none":
        content, is_whole = data, True
    elif compression == "deflate":
        inflate = zlib.decompressobj(-15)
        try:
            content = inflate.decompress(data, max_size + 1)
        except zlib.error as error:
            raise StreamError(str(error)) from error
        is_whole = inflate.eof and not inflate.unused_data
    elif compression == "lzma":
        # The dictionary never needs to be larger than the content.
        size = min(max(4096, max_size), _MAX_DICTIONARY)
        unpack = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": size}])
        try:
            content = unpack.decompress(data, max_size + 1)
        except (lzma.LZMAError, EOFError) as error:
            raise StreamError(str(error)) from error
        is_whole = unpack.eof and not unpack.unused_data
    else:
        zstd = _zstd()
        unzip = zstd.ZstdDecompressor()
        try:
            content = unzip.decompress(data, max_size + 1)
        except (zstd.ZstdError, EOFError) as error:
            raise StreamError(str(error)) from error
        is_whole = unzip.eof and not unzip.unused_data
    if len(content) > max_size:
        raise StreamError(f"it expands to more than the {max_size} bytes that the header allows")
    if not is_whole:
        raise StreamError("it ends early or is followed by other bytes")
    return content


def _zstd() -> ModuleType:
    """The standard library's zstd (Python 3.14), or its back-port."""
    try:
        from compression import zstd  # type: ignore[import-not-found]
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise MissingExtraError("zstd compression of .vxz files", "zstd") from None
    return zstd
