"""Whether a request of a browser comes from a page of the server that it asks."""

from urllib.parse import urlsplit

__all__ = ["is_own_origin"]


def is_own_origin(origin: str | None, host: str) -> bool:
    """Whether an Origin header is that of the Host header's server; programs send none. One that is no URL is not."""
    try:
        return origin is None or urlsplit(origin).netloc == host
    except ValueError:
        return False
