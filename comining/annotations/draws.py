"""Random numbers that are functions of a seed and of what they are drawn for."""

from __future__ import annotations

import hashlib


def draw(seed: int, *what: int | str) -> bytes:
    """A random number, as 16 bytes that compare like it."""
    text = " ".join(map(str, (seed, *what)))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


def uniform(seed: int, *what: int | str) -> float:
    """A random number between 0 and 1, neither of them included."""
    return ((int.from_bytes(draw(seed, *what)[:8], "big") >> 12) + 0.5) / 2**52
