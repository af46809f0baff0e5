"""Frames written by hand: the bytes on the wire, in both versions."""

from __future__ import annotations

import pytest

from edge.phoenix import (
    V1,
    V2,
    Broadcast,
    Encoded,
    EncodeError,
    Frame,
    Message,
    ProtocolError,
    Reply,
    Serializer,
    negotiate,
)


def text(data: str) -> Frame:
    return Frame(False, data.encode())


class TestNegotiate:
    @pytest.mark.parametrize("vsn", [None, "1.0.0", "1.0.9", "1.0.0+build.7"])
    def test_first_version(self, vsn: str | None) -> None:
        assert negotiate(vsn) is V1

    @pytest.mark.parametrize("vsn", ["2.0.0", "2.0.5", "2.0.12"])
    def test_second_version(self, vsn: str) -> None:
        assert negotiate(vsn) is V2

    @pytest.mark.parametrize(
        "vsn",
        ["", "2", "2.0", "abc", "2.1.0", "3.0.0", "2.0.0-rc1", "2.0.00", "2.0.0\n", " 2.0.0",
         "2.0.\u0663"],
    )  # fmt: skip
    def test_any_other_is_refused(self, vsn: str) -> None:
        assert negotiate(vsn) is None


class TestEncodeV2:
    @pytest.mark.parametrize(
        ("message", "frame"),
        [
            (
                Message("1", None, "room:a", "new", {"x": [1, 2.5, "é", "a/b"]}),
                '["1",null,"room:a","new",{"x":[1,2.5,"é","a/b"]}]',
            ),
            (
                Reply(1, "2", "room:a", "ok", {}),
                '[1,"2","room:a","phx_reply",{"status":"ok","response":{}}]',
            ),
            (Broadcast("room:a", "new", {"m": 1}), '[null,null,"room:a","new",{"m":1}]'),
            (
                Message("1", None, "t", "e", Encoded(b'{"ready":true}')),
                '["1",null,"t","e",{"ready":true}]',
            ),
            (
                Reply("1", "2", "t", "ok", Encoded.of({"é": None})),
                '["1","2","t","phx_reply",{"status":"ok","response":{"é":null}}]',
            ),
            (
                Message("1", None, "t", "e", {"x": float("nan")}),
                '["1",null,"t","e",{"x":null}]',
            ),
        ],
    )
    def test_text(self, message: Message, frame: str) -> None:
        assert V2.encode(message) == text(frame)

    @pytest.mark.parametrize(
        ("message", "frame"),
        [
            (Message("1", None, "room:a", "bin", b"\x00\x01"), "0001060331726f6f6d3a6162696e0001"),
            (Message(None, None, "t", "e", b""), "000001017465"),
            (
                Reply("1", "2", "room:a", "ok", b"\x01\x02\x03\x04"),
                "01010106023132726f6f6d3a616f6b01020304",
            ),
            (
                Broadcast("room:a", "bin_shout", b"\xff\x00"),
                "020609726f6f6d3a6162696e5f73686f7574ff00",
            ),
        ],
    )
    def test_binary(self, message: Message, frame: str) -> None:
        assert V2.encode(message) == Frame(True, bytes.fromhex(frame))

    def test_header_lengths_count_bytes(self) -> None:
        assert V2.encode(Broadcast("é", "e", b"!")).data == b"\x02\x02\x01\xc3\xa9e!"

    @pytest.mark.parametrize(
        "message",
        [
            Message("1", None, "t", "e" * 256, b""),
            Message("1", None, "é" * 128, "e", b""),
            Reply("1", "2" * 256, "t", "ok", b""),
            Message(7, None, "t", "e", b""),
            Message("1", None, "t", "e", {"x": object()}),
            Message("1", None, "t", "e", {"x": "\ud800"}),
            Broadcast("t", "e", {"x": 2**70}),
        ],
    )
    def test_what_cannot_be_written(self, message: Message) -> None:
        with pytest.raises(EncodeError):
            V2.encode(message)

    def test_field_of_255_bytes_fits(self) -> None:
        assert V2.encode(Broadcast("t" * 255, "e", b"")).data[1] == 255


class TestEncodeV1:
    @pytest.mark.parametrize(
        ("message", "frame"),
        [
            (
                Message("1", None, "room:a", "new", {"x": 1}),
                '{"topic":"room:a","event":"new","payload":{"x":1},"ref":null}',
            ),
            (
                Reply("1", "2", "room:a", "error", Encoded(b'{"reason":"bad"}')),
                '{"topic":"room:a","event":"phx_reply",'
                '"payload":{"status":"error","response":{"reason":"bad"}},"ref":"2"}',
            ),
            (
                Broadcast("room:a", "new", {}),
                '{"topic":"room:a","event":"new","payload":{},"ref":null}',
            ),
            (
                Message("2", "2", "room:a", "phx_close", {}),
                '{"topic":"room:a","event":"phx_close","payload":{},"ref":"2"}',
            ),
        ],
    )
    def test_text(self, message: Message, frame: str) -> None:
        assert V1.encode(message) == text(frame)

    @pytest.mark.parametrize(
        "message",
        [Message("1", None, "t", "e", b""), Reply("1", "2", "t", "ok", b""),
         Broadcast("t", "e", b"")],
    )  # fmt: skip
    def test_has_no_binary_payloads(self, message: Message) -> None:
        with pytest.raises(EncodeError):
            V1.encode(message)


def test_a_broadcast_is_encoded_once_per_version() -> None:
    message = Broadcast("room:a", "new", {"m": 1})
    assert V2.encode(message) is V2.encode(message)
    assert V1.encode(message) is V1.encode(message)
    assert V1.encode(message) != V2.encode(message)


class TestDecodeV2:
    @pytest.mark.parametrize(
        ("data", "message"),
        [
            ('["1","2","t","e",{"x":1}]', Message("1", "2", "t", "e", {"x": 1})),
            ('[null,7,"t","e",null]', Message(None, 7, "t", "e", None)),
            ('["1","1","t","e",{},"extra",7]', Message("1", "1", "t", "e", {})),
            ('["4","7",5,"e",{}]', Message("4", "7", 5, "e", {})),
            (' [ 1 , 2 , "\\/" , "\\u00e9" , [] ] ', Message(1, 2, "/", "é", [])),
        ],
    )
    def test_text(self, data: str, message: Message) -> None:
        decoded = V2.decode_text(data)
        assert decoded == message
        assert list(map(type, decoded)) == list(map(type, message))

    @pytest.mark.parametrize(
        "data",
        ["", "not json", "{}", "[]", "5", "null", '["1","2","t","e"]', '[1,2,"t","e",NaN]',
         '[1,2,"t","e",1e400]', '["1","2","t","e","\\ud800"]', "[" * 5000,
         '["1","' + "2" * 256 + '","t","e",{}]', '["1","' + "é" * 128 + '","t","e",{}]',
         '["1",' + "[" * 400 + "]" * 400 + ',"t","e",{}]',
         '["1","2",' + "[" * 400 + "]" * 400 + ',"e",{}]'],
    )  # fmt: skip
    def test_what_cannot_be_read(self, data: str) -> None:
        with pytest.raises(ProtocolError) as caught:
            V2.decode_text(data)
        assert caught.value.close_code == 1011

    def test_binary(self) -> None:
        data = bytes.fromhex("00010106033132726f6f6d3a6162696e0102")
        assert V2.decode_binary(data) == Message("1", "2", "room:a", "bin", b"\x01\x02")

    def test_empty_binary_reference_is_null(self) -> None:
        assert V2.decode_binary(b"\x00\x00\x00\x01\x01te") == Message(None, None, "t", "e", b"")

    @pytest.mark.parametrize(
        "data",
        [b"", b"\x00", b"\x01\x00\x00\x00\x00", b"\x03\x00\x00\x00\x00",
         b"\x00\x01\x00\x00\x00", b"\x00\x00\x00\x02\x01ab", b"\x00\x00\x00\x01\x00\xff"],
    )  # fmt: skip
    def test_broken_binary(self, data: bytes) -> None:
        with pytest.raises(ProtocolError):
            V2.decode_binary(data)


class TestDecodeV1:
    def test_join_ref_is_optional(self) -> None:
        data = '{"topic":"t","event":"e","payload":{},"ref":null}'
        assert V1.decode_text(data) == Message(None, None, "t", "e", {})
        data = '{"topic":"t","event":"e","payload":{},"ref":"2","join_ref":"1","more":0}'
        assert V1.decode_text(data) == Message("1", "2", "t", "e", {})

    def test_binary_frame_is_read_as_text(self) -> None:
        data = b'{"topic":"t","event":"e","payload":{},"ref":"2"}'
        assert V1.decode_binary(data) == Message(None, "2", "t", "e", {})

    @pytest.mark.parametrize("missing", ["topic", "event", "payload", "ref"])
    def test_four_members_are_needed(self, missing: str) -> None:
        members = {"topic": '"t"', "event": '"e"', "payload": "{}", "ref": "null"}
        del members[missing]
        data = "{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}"
        with pytest.raises(ProtocolError, match=missing):
            V1.decode_text(data)

    @pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b"7"])
    def test_what_cannot_be_read(self, data: bytes) -> None:
        with pytest.raises(ProtocolError):
            V1.decode_binary(data)


@pytest.mark.parametrize("serializer", [V1, V2])
def test_errors_are_sentences(serializer: Serializer) -> None:
    with pytest.raises(ProtocolError, match="has to be"):
        serializer.decode_text("true")
