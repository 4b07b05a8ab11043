"""Fingerprints a known number of bits apart."""

ZERO = "0" * 64


def flipped(text: str, *bits: int) -> str:
    value = int(text, 16)
    for bit in bits:
        value ^= 1 << bit
    return f"{value:064x}"
