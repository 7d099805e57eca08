"""The size that a compressed picture says it has, from its first bytes: a bomb is refused before it is decoded."""

from __future__ import annotations

_JPEG_FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}  # SOF markers, F7 is JPEG-LS


def samples(stream: bytes) -> int | None:
    """Rows x columns x components of a JPEG, JPEG-LS or JPEG 2000 codestream; None if it cannot be told."""
    if stream[:4] == b"\x00\x00\x00\x0c":  # a JP2 file around the codestream
        at = stream.find(b"\xff\x4f\xff\x51")
        stream = stream[at:] if at >= 0 else b""
    if stream[:4] == b"\xff\x4f\xff\x51" and len(stream) >= 42:  # SOC, SIZ
        right, bottom, left, top = (int.from_bytes(stream[at: at + 4], "big") for at in (8, 12, 16, 20))
        return max(right - left, 0) * max(bottom - top, 0) * int.from_bytes(stream[40:42], "big")
    if stream[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 10 <= len(stream):
        if stream[at] != 0xFF:
            return None
        marker = stream[at + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD9 or marker == 0x01:  # fill, or a marker without a length
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _JPEG_FRAMES:
            rows, columns = (int.from_bytes(stream[at + k: at + k + 2], "big") for k in (5, 7))
            return rows * columns * stream[at + 9]
        at += 2 + int.from_bytes(stream[at + 2: at + 4], "big")
    return None
