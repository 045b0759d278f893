"""Everything that looks random here is a hash: the same seed gives the same ids, texts and accidents."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["fraction", "identifier", "number"]

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def number(*parts: object) -> int:
    """A 128-bit number that depends on every part."""
    text = "\x1f".join(map(str, parts))
    return int.from_bytes(blake2b(text.encode(), digest_size=16).digest())


def fraction(*parts: object) -> float:
    """A number in [0, 1) that depends on every part."""
    return (number(*parts) >> 75) / (1 << 53)


def identifier(prefix: str, *parts: object) -> str:
    """An id in the provider's spelling: prefix, `01`, 22 letters and digits."""
    rest = number(prefix, *parts)
    letters = []
    for _ in range(22):
        rest, index = divmod(rest, len(_ALPHABET))
        letters.append(_ALPHABET[index])
    return f"{prefix}_01{''.join(letters)}"
