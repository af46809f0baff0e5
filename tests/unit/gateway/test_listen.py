from __future__ import annotations

import pytest

from edge.errors import StartupError
from edge.gateway.listen import listen, url_of


def test_a_port_is_taken_once() -> None:
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        assert url_of(first) == f"http://127.0.0.1:{port}"
        with pytest.raises(StartupError, match=r"another node running\? Choose another"):
            listen("127.0.0.1", port)
