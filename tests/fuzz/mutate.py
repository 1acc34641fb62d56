"""Mutations: of bytes, of JSON trees, of TOML lines, of zip members and of the chunks of a GLB."""

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from typing import Any

__all__ = ["MUTATORS"]

Random = random.Random
ODD_NUMBERS = (0, -1, 1, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 10**400, 1e-300, 1e308, -0.0)
ODD_WORDS = ("", "../x", "/etc/passwd", "x" * 5000, "\x00", "\ud800", "²", "NaN", "${a.b}", "a/b/c", "evil/repository")


def mutated_bytes(content: bytes, rng: Random) -> bytes:
    """One to four damages anywhere."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 4)):
        if not data:
            return b""
        place = rng.randrange(len(data))
        kind = rng.randrange(7)
        if kind == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[place:]
        elif kind == 2:
            del data[place : place + rng.randint(1, 64)]
        elif kind == 3:
            data[place:place] = data[place : place + rng.randint(1, 64)]
        elif kind == 4:
            size = rng.choice((1, 2, 4, 8))
            number = rng.choice((0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 64) - 1))
            data[place : place + size] = (number % (1 << 8 * size)).to_bytes(size, rng.choice(("little", "big")))
        elif kind == 5:
            data[place : place + 1] = bytes(rng.randrange(256) for _ in range(rng.randint(1, 16)))
        else:
            other = rng.randrange(len(data))
            data[place : place + 16] = data[other : other + 16]
    return bytes(data)


def odd_value(rng: Random) -> Any:
    """A value that nobody writes there."""
    kind = rng.randrange(8)
    if kind == 0:
        return rng.choice((None, True, False))
    if kind in (1, 2):
        return rng.choice(ODD_NUMBERS)
    if kind == 3:
        return rng.choice(ODD_WORDS)
    if kind == 4:
        return rng.choice(([], {}, [[]], [None], {"": None}, [1, 2], [[1, 2, 3]] * 50))
    if kind == 5:
        return float(rng.choice(("nan", "inf", "-inf")))
    return rng.uniform(-1e6, 1e6) if kind == 6 else rng.randint(-(10**6), 10**9)


def mutated_tree(tree: Any, rng: Random) -> Any:
    """A copy with one to three places changed."""
    tree = json.loads(json.dumps(tree))
    for _ in range(rng.randint(1, 3)):
        places = list(_places(tree))
        if not places:
            return odd_value(rng)
        holder, key = rng.choice(places)
        kind = rng.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.extend([holder[key]] * rng.choice((1, 3, 300)))
        elif kind == 2 and isinstance(holder, dict):
            holder[rng.choice(ODD_WORDS[:4])] = holder.pop(key)
        elif kind == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
            holder[key] = rng.choice(
                (-holder[key], holder[key] * 1000, holder[key] + 1, str(holder[key]), [holder[key]])
            )
        elif kind == 4:
            deep: Any = holder[key]
            for _ in range(rng.choice((1, 5, 150, 900))):
                deep = {"from": deep} if rng.random() < 0.5 else [deep]
            holder[key] = deep
        else:
            holder[key] = odd_value(rng)
    return tree


def _places(tree: Any) -> Any:
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict | list):
            keys = list(node) if isinstance(node, dict) else range(len(node))
            for key in keys:
                yield node, key
                stack.append(node[key])


def mutated_json(content: bytes, rng: Random) -> bytes:
    """Mostly a changed tree, sometimes changed text."""
    if rng.random() < 0.2:
        return rng.choice(
            (mutated_bytes(content, rng), b"[" * 100_000, b"\xef\xbb\xbf" + content, b'{"a": 1' + b"0" * 5000)
        )
    try:
        return json.dumps(mutated_tree(json.loads(content), rng)).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        return mutated_bytes(content, rng)


def mutated_text(content: bytes, rng: Random) -> bytes:
    """Lines dropped, doubled, exchanged, and numbers or words of them replaced."""
    lines = content.decode("utf-8", "replace").split("\n")
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(lines))
        words = lines[place].split(" ")
        kind = rng.randrange(6)
        if kind == 0:
            lines.pop(place)
        elif kind == 1:
            lines[place:place] = [lines[place]] * rng.choice((1, 500))
        elif kind == 2:
            lines[place] = lines[rng.randrange(len(lines))]
        elif kind == 3:
            return mutated_bytes(content, rng)
        else:
            words[rng.randrange(len(words))] = str(odd_value(rng))[:6000]
            lines[place] = " ".join(words)
        lines = lines or [""]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def mutated_zip(content: bytes, rng: Random) -> bytes:
    """One member changed and packed anew, or the bytes of the whole."""
    if rng.random() < 0.4:
        return mutated_bytes(content, rng)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    except Exception:
        return mutated_bytes(content, rng)
    place = rng.randrange(len(members))
    name, member = members[place]
    kind = rng.randrange(5)
    if kind == 0:
        members.pop(place)
    elif kind == 1:
        members[place] = (rng.choice(("../out", "/abs", "x" * 300, name.upper(), "")) or name, member)
    elif kind == 2:
        members[place] = (name, b"\0" * rng.choice((0, 10**6, 10**7)))
    else:
        by_name = (
            mutated_json
            if name.endswith(".json")
            else mutated_text
            if name.endswith((".csv", ".obj", ".mtl", ".properties"))
            else mutated_bytes
        )
        members[place] = (name, by_name(member, rng))
    buffer = io.BytesIO()
    method = rng.choice(
        (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2)
    )
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, member in members:
            archive.writestr(name, member)
    return buffer.getvalue()


def mutated_glb(content: bytes, rng: Random) -> bytes:
    """The JSON chunk changed and its length put right, or bytes anywhere."""
    if rng.random() < 0.4 or content[:4] != b"glTF":
        return mutated_bytes(content, rng)
    length = struct.unpack_from("<I", content, 12)[0]
    text = mutated_json(content[20 : 20 + length], rng)
    text += b" " * (-len(text) % 4)
    rest = content[20 + length :]
    return (
        struct.pack("<III", 0x46546C67, 2, 20 + len(text) + len(rest))
        + struct.pack("<I", len(text))
        + b"JSON"
        + text
        + rest
    )


def mutated_safetensors(content: bytes, rng: Random) -> bytes:
    """The header changed and its length put right, or bytes anywhere."""
    if rng.random() < 0.5 or len(content) < 8:
        return mutated_bytes(content, rng)
    length = struct.unpack_from("<Q", content)[0]
    text = mutated_json(content[8 : 8 + length], rng)
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def mutated_vxz(content: bytes, rng: Random) -> bytes:
    """The header changed and its length put right, or bytes anywhere."""
    if rng.random() < 0.5 or len(content) < 8:
        return mutated_bytes(content, rng)
    end = int.from_bytes(content[4:8], "big")
    text = mutated_json(content[8:end], rng)
    return content[:4] + (8 + len(text)).to_bytes(4, "big") + text + content[end:]


MUTATORS: dict[str, Callable[[bytes, Random], bytes]] = {
    ".glb": mutated_glb,
    ".json": mutated_json,
    ".gltf": mutated_json,
    ".toml": mutated_text,
    ".yaml": mutated_text,
    ".csv": mutated_text,
    ".obj": mutated_text,
    ".mtl": mutated_text,
    ".txt": mutated_text,
    ".zip": mutated_zip,
    ".sh3f": mutated_zip,
    ".npz": mutated_zip,
    ".safetensors": mutated_safetensors,
    ".vxz": mutated_vxz,
}
"""By suffix; anything else is bytes."""


def mutated(suffix: str, content: bytes, rng: Random) -> bytes:
    """A damaged copy of a file's content."""
    return MUTATORS.get(suffix, mutated_bytes)(content, rng)
