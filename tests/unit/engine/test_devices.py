"""Which devices ggml has, and how much of a model goes to them."""

from __future__ import annotations

import pytest

from edge.engine.devices import ALL, UNKNOWN, Device, Layers, devices, layers_on_gpu

CPU, GPU, INTEGRATED = 0, 1, 2
GIB = 2**30
# As of an 8B model with four bits a weight, and a cache of 16,384 tokens.
NEEDS = Layers(layers=32, layer_bytes=int(0.2 * GIB), buffer_bytes=GIB // 2)


def test_this_machine_has_a_processor_with_memory() -> None:
    found = devices()
    assert CPU in [each.kind for each in found]
    assert all(each.free_bytes > 0 for each in found if each.kind == CPU)


@pytest.mark.parametrize(
    ("kind", "free_gib", "layers"),
    [
        (GPU, 24, ALL), (GPU, 8, ALL), (GPU, 7, 29), (GPU, 4, 15), (GPU, 0.3, 0),
        (INTEGRATED, 1, ALL), (CPU, 1, ALL),
    ],
)  # fmt: skip
def test_as_many_layers_go_there_as_fit(kind: int, free_gib: float, layers: int) -> None:
    found = [Device(CPU, 16 * GIB), Device(kind, int(free_gib * GIB))]
    assert layers_on_gpu(found, NEEDS) == layers


def test_two_devices_share_them_and_each_has_its_buffers() -> None:
    assert layers_on_gpu([Device(GPU, 3 * GIB)] * 2, NEEDS) == 22


def test_of_a_model_that_is_silent_all_go_there() -> None:
    assert layers_on_gpu([Device(GPU, 1)], UNKNOWN) == ALL
