"""ICC profiles made by hand (ICC.1:2001-04), for pictures whose colours are known."""

import struct

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
P3 = np.array([[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]])
"""Linear Display P3 to XYZ, adapted to D50."""
SRGB = np.array([[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]])
"""The same of sRGB."""
GAMMA = 563 / 256
"""2.2 as a profile's u8Fixed8Number has it."""


def p3() -> bytes:
    """Display P3's primaries with gamma 2.2."""
    return _profile(b"RGB ", b"XYZ ", "P3 of a test", {
        **{name: _xyz(column) for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), P3.T, strict=True)},
        **{name: _gamma() for name in (b"rTRC", b"gTRC", b"bTRC")},
    })  # fmt: skip


def grey() -> bytes:
    """Grey with gamma 2.2."""
    return _profile(b"GRAY", b"XYZ ", "grey of a test", {b"kTRC": _gamma()})


def cmyk() -> bytes:
    """Inks of which each is as dark as all together: L* = 100 − 100 × the most of them, a* = b* = 0."""
    straight = bytes(range(256))
    corners = [0 if any(corner >> bit & 1 for bit in range(4)) else 255 for corner in range(16)]
    table = b"".join(bytes((lightness, 128, 128)) for lightness in corners)
    matrix = struct.pack(">9i", *(65536 if place % 4 == 0 else 0 for place in range(9)))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + 4 * straight + table + 3 * straight
    return _profile(b"CMYK", b"Lab ", "inks of a test", {b"A2B0": lut, b"A2B1": lut})


def p3_to_srgb(colour: tuple[int, int, int]) -> np.ndarray:
    """What a colour of `p3` is in sRGB, by the formulas alone: 0 … 255."""
    linear = np.linalg.inv(SRGB) @ P3 @ (np.array(colour) / 255) ** GAMMA
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def grey_to_srgb(value: int) -> float:
    """The same for a value of `grey`."""
    return float(255 * (1.055 * ((value / 255) ** GAMMA) ** (1 / 2.4) - 0.055))


def _profile(space: bytes, connection: bytes, name: str, tags: dict[bytes, bytes]) -> bytes:
    text = name.encode() + b"\0"
    description = b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(4 + 4 + 2 + 1 + 67)
    tags = {b"desc": description, b"wtpt": _xyz(D50), b"cprt": b"text" + bytes(4) + b"none\0", **tags}
    place = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for tag, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += tag + struct.pack(">II", place + len(body), len(content))
        body += padded
    head = struct.pack(">I4sI4s4s4s", place + len(body), bytes(4), 0x02400000, b"mntr", space, connection)
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", *(round(65536 * value) for value in D50))
    return head + bytes(128 - len(head)) + table + body


def _xyz(values: object) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * float(v)) for v in values))  # type: ignore[attr-defined]


def _gamma() -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IH", 1, round(256 * GAMMA))
