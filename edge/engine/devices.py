"""Graphics processors with memory of their own, and how many of a model's layers fit into it.

`llama_cpp` has no names for these functions of ggml (ggml-backend.h), so they are called as they
are in its library. On a build without such devices there are none, and all layers stay where they
are. An integrated one works in the machine's own memory, which the node has reckoned with.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Final

import llama_cpp as api

_GPU: Final = 1
"""``GGML_BACKEND_DEVICE_TYPE_GPU``; an integrated one is 2."""
SPARE_SHARE: Final = 0.1
"""Of the free memory of devices: for their drivers, and errors of the sum."""
ALL: Final = 999
"""More layers than any model has: the output layer goes with them."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device of ggml, and its memory."""

    kind: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Layers:
    """What a model's layers need on a device: ``layers`` of ``layer_bytes`` each, its cache
    included, and ``buffer_bytes`` besides. 0 layers where that is not known."""

    layers: int = 0
    layer_bytes: int = 0
    buffer_bytes: int = 0


UNKNOWN: Final = Layers()


def devices(library: Any = None) -> list[Device]:
    """All that ggml knows, the processor included. To be asked before a model is loaded."""
    ggml = api.llama_cpp._lib if library is None else library
    ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    ggml.ggml_backend_dev_get.restype = ctypes.c_void_p
    ggml.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    ggml.ggml_backend_dev_type.argtypes = [ctypes.c_void_p]
    size = ctypes.POINTER(ctypes.c_size_t)
    ggml.ggml_backend_dev_memory.argtypes = [ctypes.c_void_p, size, size]
    ggml.ggml_backend_dev_memory.restype = None
    found = []
    for number in range(ggml.ggml_backend_dev_count()):
        device = ggml.ggml_backend_dev_get(number)
        free, total = ctypes.c_size_t(), ctypes.c_size_t()
        ggml.ggml_backend_dev_memory(device, ctypes.byref(free), ctypes.byref(total))
        found.append(Device(int(ggml.ggml_backend_dev_type(device)), free.value))
    return found


def layers_on_gpu(found: list[Device], needs: Layers) -> int:
    """How many go to graphics processors: `ALL` where they fit, or where there is nothing to reckon
    with; else as many as do, which may be none."""
    own = [each for each in found if each.kind == _GPU]
    if not own or not needs.layers or not needs.layer_bytes:
        return ALL
    # Each has buffers of its own.
    free_bytes = sum(each.free_bytes * (1 - SPARE_SHARE) - needs.buffer_bytes for each in own)
    fits = max(0, int(free_bytes / needs.layer_bytes))
    return ALL if fits > needs.layers else fits
