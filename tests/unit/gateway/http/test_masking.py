from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from edge.gateway.http.masking import MaskedFrames


class Reader:
    """Keeps what it is fed."""

    def __init__(self) -> None:
        self.data = b""
        self.eof = False

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        self.eof = True


def frame(payload: bytes, *, masked: bool = True) -> bytes:
    """A binary frame; its mask is what it is."""
    size, flag = len(payload), 0x80 if masked else 0
    mask = b"\x01\x02\x03\x04" if masked else b""
    if size < 126:
        return bytes([0x82, flag | size]) + mask + payload
    if size < 65_536:
        return struct.pack("!BBH", 0x82, flag | 126, size) + mask + payload
    return struct.pack("!BBQ", 0x82, flag | 127, size) + mask + payload


SIZES = st.lists(st.sampled_from([0, 1, 2, 125, 126, 127, 65_535, 65_536]), max_size=4)


@given(SIZES, st.data())
def test_masked_frames_pass_however_they_are_cut(sizes: list[int], data: st.DataObject) -> None:
    reader = Reader()
    frames = MaskedFrames(reader)
    stream = b"".join(frame(b"\x02" * size) for size in sizes)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        frames.feed_data(stream[start:end])
    assert reader.data == stream


@given(SIZES, st.integers(0, 200), st.integers(1, 9))
def test_nothing_from_the_first_unmasked_frame_on_passes(
    sizes: list[int], size: int, step: int
) -> None:
    reader = Reader()
    frames = MaskedFrames(reader)
    good = b"".join(frame(b"\x02" * each) for each in sizes)
    bad = frame(b"\x81\x82" * size, masked=False) + frame(b"never")
    frames.feed_data(good)
    for start in range(0, len(bad), step):
        frames.feed_data(bad[start : start + step])
    # All reserved bits: a reader has to refuse it.
    assert reader.data == good + b"\x7f\x00"
    assert frames.feed_data(b"more") == (True, b"")


def test_the_end_is_passed_on() -> None:
    reader = Reader()
    MaskedFrames(reader).feed_eof()
    assert reader.eof
