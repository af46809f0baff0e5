"""Is this file a GGUF model, and is all of it there?

Reads the header as the format's specification lays it out (ggml, docs/gguf.md, versions 2 and 3,
little-endian): counts, metadata, tensor table. The tensors themselves are not read, so the check
is cheap for a model of any size, and yet finds a download that was cut short.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from edge.errors import ModelError

MAGIC: Final = b"GGUF"
VERSIONS: Final = (2, 3)
TENSORS_MAX: Final = 1_000_000
METADATA_MAX: Final = 100_000
STRING_BYTES_MAX: Final = 64 * 1024 * 1024
ARRAY_ITEMS_MAX: Final = 50_000_000
DIMENSIONS_MAX: Final = 8
ARRAY_DEPTH_MAX: Final = 4
LISTED_MAX: Final = 4_096
"""Numbers of a list that are read; such lists have one for each layer."""

# By the names of llama.cpp (llama-arch.cpp). What is missing here it says when it has loaded the
# model (`edge.engine.llama`).
ENCODERS: Final = frozenset(
    {
        *("bert", "modern-bert", "nomic-bert", "nomic-bert-moe", "neo-bert", "jina-bert-v2"),
        *("jina-bert-v3", "eurobert", "gemma-embedding", "t5encoder", "clip", "wavtokenizer-dec"),
    }
)
# What `general.type` may say besides "model" (ggml, docs/gguf.md).
PARTS_OF_OTHERS: Final = {
    "adapter": "it is an adapter, which only changes another model",
    "imatrix": "it is a table for quantising another model",
    "mmproj": "it is a projector, by which another model sees or hears",
}
QUANTISATIONS: Final = {
    # general.file_type: by the names of llama.cpp (llama.h, llama_ftype)
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K",
    11: "Q3_K_S", 12: "Q3_K_M", 13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S",
    17: "Q5_K_M", 18: "Q6_K", 19: "IQ2_XXS", 20: "IQ2_XS", 21: "Q2_K_S", 22: "IQ3_XS",
    23: "IQ3_XXS", 24: "IQ1_S", 25: "IQ4_NL", 26: "IQ3_S", 27: "IQ3_M", 28: "IQ2_S", 29: "IQ2_M",
    30: "IQ4_XS", 31: "IQ1_M", 32: "BF16", 36: "TQ1_0", 37: "TQ2_0", 38: "MXFP4", 39: "NVFP4",
}  # fmt: skip
NOT_OF_TEXTS: Final = frozenset({"clip", "wavtokenizer-dec"})
"""Encoders of images and sounds."""
POOLINGS: Final = {1: "mean", 2: "cls", 3: "last", 4: "rank"}
"""``pooling_type``, as llama.h numbers them; 0 is none."""
DIFFUSION: Final = frozenset({"dream", "llada", "llada-moe", "rnd1"})
ENCODER_DECODERS: Final = frozenset({"t5"})

_FLOAT_BYTES: Final = 4
_CHUNK_BYTES: Final = 1 << 16
_STRING: Final = 8
_ARRAY: Final = 9
_SCALARS: Final[dict[int, struct.Struct]] = {
    0: struct.Struct("<B"), 1: struct.Struct("<b"), 2: struct.Struct("<H"), 3: struct.Struct("<h"),
    4: struct.Struct("<I"), 5: struct.Struct("<i"), 6: struct.Struct("<f"), 7: struct.Struct("<?"),
    10: struct.Struct("<Q"), 11: struct.Struct("<q"), 12: struct.Struct("<d"),
}  # fmt: skip

_BLOCKS: Final[dict[int, tuple[int, int]]] = {
    # type: elements of a block, bytes of a block (ggml.c, type_traits)
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 30: (1, 2),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model's memory follows from, 0 where its file is silent. ``kv_heads`` has a number for
    each layer, 0 for one that keeps nothing of the tokens it has seen. ``state_bytes`` is what
    recurrent layers keep of a sequence, however long it is."""

    weights_bytes: int = 0
    layers: int = 0
    width: int = 0
    feed_forward: int = 0
    heads: int = 0
    kv_heads: tuple[int, ...] = ()
    key_length: int = 0
    value_length: int = 0
    vocabulary: int = 0
    state_bytes: int = 0


UNKNOWN: Final = Shape()


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF says of itself. ``context_tokens`` is 0 and ``name`` empty when it is silent."""

    version: int
    tensors: int
    architecture: str
    name: str
    context_tokens: int
    shape: Shape = Shape()
    cannot_generate: str = ""
    """Half a sentence of why no text can come of it; empty when it can."""
    quantisation: str = ""
    """Such as Q4_K_M; empty when the file does not say, or says one that is not known here."""
    licence: str = ""
    """As the file has it, such as apache-2.0; empty when it does not say."""
    files: int = 1
    """How many files the model was split into."""
    parameters: int = 0
    """Numbers in the tensors of this file."""
    metadata: Mapping[str, object] = field(default_factory=dict, compare=False, repr=False)
    """All entries but the lists: texts, numbers and truth values by their keys."""
    cannot_embed: str = ""
    """Half a sentence of why no vectors can come of it; empty when they can."""
    pooling: str = ""
    """How it makes a vector of a text's tokens: mean, cls, last, or rank for one that ranks; empty
    when the file does not say."""


class _Damaged(Exception):
    """Says in half a sentence what is wrong."""


class _Reader:
    """Values off a stream, each checked against what is left of the file."""

    def __init__(self, stream: BinaryIO, size_bytes: int) -> None:
        self._stream = stream
        self._size_bytes = size_bytes
        self.offset = 0

    def take(self, size_bytes: int) -> bytes:
        data = self._stream.read(size_bytes)
        self.offset += len(data)
        if len(data) < size_bytes:
            raise _Damaged("it ends in the middle of its header")
        return data

    def skip(self, size_bytes: int) -> None:
        self.offset += size_bytes
        if self.offset > self._size_bytes:
            raise _Damaged("it ends in the middle of its header")
        self._stream.seek(self.offset)

    def number(self, code: str) -> int:
        layout = struct.Struct(f"<{code}")
        value: int = layout.unpack(self.take(layout.size))[0]
        return value

    def string_bytes(self) -> int:
        size_bytes = self.number("Q")
        if size_bytes > STRING_BYTES_MAX:
            raise _Damaged("its header has a text of impossible length")
        return size_bytes

    def string(self) -> str:
        return self.take(self.string_bytes()).decode("utf-8", "replace")

    def value(self, kind: int) -> object:
        """A scalar or a text; a short list of numbers as a tuple, any other list as a `range` of
        its length: it is passed over."""
        if kind == _STRING:
            return self.string()
        if kind == _ARRAY:
            return self._array()
        scalar = self._scalar(kind)
        value: object = scalar.unpack(self.take(scalar.size))[0]
        return value

    def _array(self) -> tuple[object, ...] | range:
        kind, items = self.number("I"), self.number("Q")
        if kind not in (_STRING, _ARRAY) and items <= LISTED_MAX:
            return tuple(self.value(kind) for _ in range(items))
        self._pass_items(kind, items, 1)
        return range(items)

    def _pass_strings(self, items: int) -> None:
        """By chunks: a vocabulary has hundreds of thousands, and a read for each takes most of the
        time that a header does."""
        chunk, at = b"", 0
        for _ in range(items):
            if at + 8 > len(chunk):
                self.skip(at)
                chunk, at = self._stream.read(_CHUNK_BYTES), 0
                if len(chunk) < 8:
                    raise _Damaged("it ends in the middle of its header")
            size_bytes = int.from_bytes(chunk[at : at + 8], "little")
            if size_bytes > STRING_BYTES_MAX:
                raise _Damaged("its header has a text of impossible length")
            at += 8 + size_bytes
        self.skip(at)

    def _scalar(self, kind: int) -> struct.Struct:
        if kind not in _SCALARS:
            raise _Damaged(f"its header has a value of the unknown type {kind}")
        return _SCALARS[kind]

    def _pass_items(self, kind: int, items: int, depth: int) -> None:
        if items > ARRAY_ITEMS_MAX or depth > ARRAY_DEPTH_MAX:
            raise _Damaged("its header has a list of impossible size")
        if kind == _STRING:
            self._pass_strings(items)
        elif kind == _ARRAY:
            for _ in range(items):
                self._pass_items(self.number("I"), self.number("Q"), depth + 1)
        else:
            self.skip(items * self._scalar(kind).size)


def read_header(stream: BinaryIO, size_bytes: int, label: str) -> Header:
    """Checks a whole header at the start of a seekable `stream` of `size_bytes`.

    Raises `ModelError` with one sentence that calls the file `label`.
    """
    try:
        return _read(_Reader(stream, size_bytes), size_bytes)
    except _Damaged as damage:
        raise ModelError(
            f"{label} cannot be used as a model: {damage}; get a GGUF file that is complete"
        ) from damage


def _read(reader: _Reader, size_bytes: int) -> Header:
    if size_bytes < len(MAGIC) or reader.take(len(MAGIC)) != MAGIC:
        raise _Damaged("it is not a GGUF file")
    version = reader.number("I")
    if version not in VERSIONS:
        raise _Damaged(f"it is of GGUF version {version}, and only 2 and 3 are known")
    tensors, entries = reader.number("Q"), reader.number("Q")
    if tensors > TENSORS_MAX or entries > METADATA_MAX:
        raise _Damaged("its header promises an impossible number of tensors")
    metadata: dict[str, object] = {}
    for _ in range(entries):
        key = reader.string()
        metadata[key] = reader.value(reader.number("I"))
    files = _whole(metadata.get("split.count")) or 1
    # The first of several may have the metadata alone.
    if not tensors and files == 1:
        raise _Damaged("its header promises no tensors")
    ends = [_tensor(reader) for _ in range(tensors)]
    data_bytes = max((end for end, _ in ends), default=0)
    alignment = _whole(metadata.get("general.alignment")) or 32
    start = -(-reader.offset // alignment) * alignment
    if start + data_bytes > size_bytes:
        raise _Damaged(
            f"it has {size_bytes} bytes of {start + data_bytes}, as after a download cut short"
        )
    architecture = str(metadata.get("general.architecture") or "")
    of_architecture = {
        key.removeprefix(f"{architecture}."): value
        for key, value in metadata.items()
        if key.startswith(f"{architecture}.")
    }
    return Header(
        version,
        tensors,
        architecture,
        str(metadata.get("general.name") or ""),
        _whole(of_architecture.get("context_length")),
        _shape(of_architecture, metadata.get("tokenizer.ggml.tokens"), data_bytes),
        PARTS_OF_OTHERS.get(str(metadata.get("general.type")), "")
        or _cannot_generate(architecture, of_architecture),
        QUANTISATIONS.get(_file_type(metadata.get("general.file_type")), ""),
        str(metadata.get("general.license") or ""),
        files,
        sum(elements for _, elements in ends),
        {key: each for key, each in metadata.items() if isinstance(each, str | int | float)},
        PARTS_OF_OTHERS.get(str(metadata.get("general.type")), "") or _cannot_embed(architecture),
        POOLINGS.get(_whole(of_architecture.get("pooling_type")), ""),
    )


def _cannot_generate(architecture: str, facts: dict[str, object]) -> str:
    if architecture in ENCODERS:
        return f"it is an encoder ({architecture}), which turns texts into vectors"
    if architecture in DIFFUSION:
        return f"it is a diffusion model ({architecture}), which does not write word by word"
    if architecture in ENCODER_DECODERS:
        return f"it has an encoder and a decoder ({architecture}), and encoders are not run here"
    # What a file says of pooling is for models that were trained for embeddings (llama.h,
    # llama_pooling_type: 0 is none).
    if _whole(facts.get("pooling_type")) or facts.get("attention.causal") is False:
        return f"it was made for embeddings ({architecture}), which turns texts into vectors"
    return ""


def _cannot_embed(architecture: str) -> str:
    if architecture in NOT_OF_TEXTS:
        return f"it is no model of texts ({architecture})"
    if architecture in DIFFUSION:
        return f"it is a diffusion model ({architecture})"
    if architecture in ENCODER_DECODERS:
        return f"it has an encoder and a decoder ({architecture}), which is not run here"
    return ""


def _shape(facts: dict[str, object], tokens: object, weights_bytes: int) -> Shape:
    layers = _whole(facts.get("block_count"))
    width, heads = _whole(facts.get("embedding_length")), _most(facts.get("attention.head_count"))
    head_width = width // heads if heads else 0
    kv_heads = facts.get("attention.head_count_kv", heads)
    if isinstance(kv_heads, tuple):
        each = tuple(_whole(number) for number in kv_heads)
    else:
        each = (_whole(kv_heads),) * min(layers, LISTED_MAX)
    return Shape(
        weights_bytes=weights_bytes,
        layers=layers,
        width=width,
        feed_forward=_most(facts.get("feed_forward_length")),
        heads=heads,
        kv_heads=each,
        key_length=_whole(facts.get("attention.key_length")) or head_width,
        value_length=_whole(facts.get("attention.value_length")) or head_width,
        vocabulary=len(tokens) if isinstance(tokens, (tuple, range)) else 0,
        state_bytes=_FLOAT_BYTES * _state_floats(facts, width) * _recurrent_layers(each),
    )


def _state_floats(facts: dict[str, object], width: int) -> int:
    """What a recurrent layer keeps (llama-hparams.cpp, n_embd_r and n_embd_s)."""
    head = _whole(facts.get("wkv.head_size"))
    if head:
        return (_whole(facts.get("token_shift_count")) or 2) * width + width * head
    if short := _whole(facts.get("shortconv.l_cache")):
        return (short - 1) * width
    inner, state = _whole(facts.get("ssm.inner_size")), _whole(facts.get("ssm.state_size"))
    window = max(0, _whole(facts.get("ssm.conv_kernel")) - 1)
    return window * (inner + 2 * _whole(facts.get("ssm.group_count")) * state) + state * inner


def _recurrent_layers(kv_heads: tuple[int, ...]) -> int:
    """Those without an attention; all where each has one, for then it has both."""
    return kv_heads.count(0) or len(kv_heads)


def _most(value: object) -> int:
    """The number, or of one for each layer the largest."""
    if isinstance(value, tuple):
        return max((_whole(each) for each in value), default=0)
    return _whole(value)


def _tensor(reader: _Reader) -> tuple[int, int]:
    """Where the next tensor of the table ends, from the start of the data (for a type of tensor
    that is not known here, where it begins), and how many elements it has."""
    reader.skip(reader.string_bytes())
    dimensions = reader.number("I")
    if dimensions > DIMENSIONS_MAX:
        raise _Damaged("its header has a tensor of impossible shape")
    elements = 1
    for _ in range(dimensions):
        elements *= reader.number("Q")
    kind, offset = reader.number("I"), reader.number("Q")
    per_block, block_bytes = _BLOCKS.get(kind, (1, 0))
    return offset + -(-elements // per_block) * block_bytes, elements


def _file_type(value: object) -> int:
    return value if isinstance(value, int) else -1


def _whole(value: object) -> int:
    return value if isinstance(value, int) and value > 0 else 0
