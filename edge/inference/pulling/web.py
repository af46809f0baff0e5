"""Fetches a file from any address, and goes on where it was cut off."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import aiohttp
from yarl import URL

from edge.errors import ModelError
from edge.inference.pulling.arrival import Progress
from edge.inference.pulling.wanted import is_safe

ATTEMPTS_MAX: Final = 5
"""Attempts in a row that bring nothing."""
PAUSE_S_MAX: Final = 60.0
CHUNK_BYTES: Final = 1 << 18
SILENCE_S: Final = 60.0
_TAG: Final = ".tag"
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")

NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
Pause = Callable[[float], Awaitable[None]]


def shown(url: str) -> str:
    """The address for people: without what may be a secret in it."""
    return str(URL(url).with_user(None).with_query(None))


def tidy(file: Path) -> None:
    """Clears away what stood beside a fetched file that is there no more."""
    if not file.exists():
        with contextlib.suppress(FileNotFoundError):
            file.with_suffix(_TAG).unlink()


class _Later(Exception):
    """It may work with another attempt."""

    def __init__(self, reason: str, after_s: float = 0) -> None:
        super().__init__(reason)
        self.after_s = after_s


async def fetch(
    url: str,
    folder: Path,
    progress: Progress,
    *,
    headers: Mapping[str, str] = NOTHING,
    pinned: bool = False,
    remedy: str = "check the address",
    pause: Pause = asyncio.sleep,
) -> Path:
    """The whole file, in this folder. An interrupted one is gone on with at the next call, if the
    server says that it is still the same, or the address is ``pinned`` to what never changes.
    ``headers`` go to that server alone; ``remedy`` is what to do when it refuses. `ModelError`;
    what came so far is kept then."""
    part = _Part(folder / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.part")
    named = shown(url)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE_S, sock_read=SILENCE_S)
    in_vain = 0
    # A proxy of the environment is used, as other programs do.
    async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as http:
        while True:
            before = part.size_bytes
            try:
                await _attempt(http, url, headers, part, progress, pinned=pinned)
                return part.path
            except _Refused as error:
                raise ModelError(f"{named} {error}; {remedy}") from error
            except (_Later, aiohttp.ClientError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
                after_s = error.after_s if isinstance(error, _Later) else 0
            except OSError as error:
                raise ModelError(f"cannot write {part.path}: {error.strerror}") from error
            in_vain = in_vain + 1 if part.size_bytes <= before else 0
            if in_vain == ATTEMPTS_MAX:
                raise ModelError(
                    f"cannot get {named}: {reason}; try again later, and it goes on where it is"
                )
            await pause(min(max(2.0**in_vain, after_s), PAUSE_S_MAX))


class _Refused(Exception):
    """Half a sentence of why no other attempt can help."""


class _Part:
    """A file that is not whole yet, and beside it what the server called it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tag_path = path.with_suffix(_TAG)

    @property
    def size_bytes(self) -> int:
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def tag(self) -> str:
        try:
            return self._tag_path.read_text(encoding="ascii")
        except (FileNotFoundError, UnicodeDecodeError):
            return ""

    def begin(self, tag: str) -> None:
        """Anew, as what the server calls so."""
        self.path.write_bytes(b"")
        self._tag_path.write_text(tag, encoding="ascii", errors="ignore")

    def forget(self) -> None:
        for path in (self.path, self._tag_path):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


async def _attempt(
    http: aiohttp.ClientSession,
    url: str,
    headers: Mapping[str, str],
    part: _Part,
    progress: Progress,
    *,
    pinned: bool,
) -> None:
    """Returns when the file is whole; else raises `_Later`, `_Refused`, or an aiohttp error."""
    have, tag = part.size_bytes, part.tag
    asked = {**headers, "Accept-Encoding": "identity"}
    if have and (tag or pinned):
        asked["Range"] = f"bytes={have}-"
    if have and tag and not pinned:
        # Only if it is the same file (RFC 9110, section 13.1.5); else all of it comes.
        asked["If-Range"] = tag
    async with http.get(url, headers=asked) as response:
        if response.status == 416 and response.headers.get("Content-Range") == f"bytes */{have}":
            return  # all of it was there
        _check(response, part)
        total = _total(response, have)
        if response.status == 200:
            # One that is called nothing, or something weak, could not be gone on with.
            strong = response.headers.get("ETag", "")
            part.begin("" if strong.startswith("W/") else strong)
        done = part.size_bytes
        progress(done, total)
        with part.path.open("ab") as file:
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                file.write(chunk)
                done += len(chunk)
                progress(done, total)
    if total is not None and done != total:
        raise _Later(f"it ended at {done} of {total} bytes")


def _check(response: aiohttp.ClientResponse, part: _Part) -> None:
    status = response.status
    if not is_safe(str(response.url)):
        raise _Refused(f"leads to {response.url.origin()}, which is not https://")
    if status == 416:
        part.forget()
        raise _Later("what was there does not belong to it")
    if status in (408, 425, 429) or status >= 500:
        after = response.headers.get("Retry-After", "")
        raise _Later(f"the server answers {status}", float(after) if after.isdigit() else 0)
    if status not in (200, 206):
        raise _Refused(f"answers {status} {response.reason}")


def _total(response: aiohttp.ClientResponse, have: int) -> int | None:
    if response.status == 200:
        return response.content_length
    match = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != have:
        raise _Later("the server sends another part than it was asked for")
    return None if match[2] == "*" else int(match[2])
