"""What a repository of the Hugging Face hub has, asked of the hub or of what stands in for it.

It is one request, and files come from addresses like any others (`edge.inference.pulling.web`). The
hub's own package is not used: it begins a file anew that was interrupted, and is ten packages."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson

from edge.errors import ModelError
from edge.inference.places.walk import small_file
from edge.inference.pulling.choice import RemoteFile, choose
from edge.inference.pulling.wanted import Repository, is_safe

USUAL_URL: Final = "https://huggingface.co"
ANSWER_BYTES_MAX: Final = 16 << 20
"""Of what the hub says of a repository; of the largest it is some hundred kilobytes."""
_ANSWER_S: Final = 60.0
_TOKEN_HINT: Final = "name your token in HF_TOKEN"


@dataclass(frozen=True, slots=True)
class Offer:
    """A file that the hub has. ``url`` is of this very revision of it."""

    repository: str
    url: str
    file: RemoteFile
    licence: str


class Hub:
    """A hub at an address; an empty one is that of the environment, else the usual one."""

    def __init__(self, url: str = "", environment: Mapping[str, str] = os.environ) -> None:
        self.url = (url or environment.get("HF_ENDPOINT") or USUAL_URL).rstrip("/")
        self._environment = environment
        if not is_safe(self.url):
            raise ModelError(
                f"the hub {self.url} is no https:// address, so what comes from there could be"
                " changed by anybody on the way; set model.hub_url to another"
            )

    @property
    def headers(self) -> dict[str, str]:
        """Who asks: the user's token, if there is one where the hub's own programs have it."""
        token = self._environment.get("HF_TOKEN", "").strip() or _stored_token(self._environment)
        return {"Authorization": f"Bearer {token}"} if token else {}

    async def ask(self, wanted: Repository) -> Offer:
        """What the hub has of it. `ModelError`."""
        name = wanted.repository
        told = await self._get(f"{self.url}/api/models/{name}?blobs=true", name)
        try:
            files = [_file(each) for each in told["siblings"]]
            revision = str(told["sha"])
            card = told.get("cardData") or {}
            licence = card.get("license")
            if licence == "other":
                licence = card.get("license_name") or licence
        except (TypeError, KeyError, AttributeError) as error:
            raise ModelError(
                f"{self.url} does not answer as a hub does; check the address"
            ) from error
        chosen = choose(name, files, wanted.quantisation)
        url = f"{self.url}/{name}/resolve/{revision}/{quote(chosen.path)}"
        return Offer(name, url, chosen, licence if isinstance(licence, str) else "")

    async def _get(self, url: str, repository: str) -> Any:
        timeout = aiohttp.ClientTimeout(total=_ANSWER_S)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=True) as http,
                http.get(url, headers=self.headers) as response,
            ):
                if response.status != 200:
                    raise ModelError(self._refusal(repository, response))
                body = b""
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > ANSWER_BYTES_MAX:
                        raise ModelError(f"{self.url} says more of {repository} than can be read")
                return orjson.loads(body)
        except (aiohttp.ClientError, TimeoutError) as error:
            reason = str(error) or type(error).__name__
            raise ModelError(
                f"cannot reach the hub {self.url}: {reason}; try again later"
            ) from error
        except orjson.JSONDecodeError as error:
            raise ModelError(
                f"{self.url} does not answer as a hub does; check the address"
            ) from error

    def _refusal(self, repository: str, response: aiohttp.ClientResponse) -> str:
        status = response.status
        if response.headers.get("X-Error-Code") == "GatedRepo":
            return f"{repository} asks for more than its name: {self.terms(repository)}"
        if status == 429:
            after = response.headers.get("Retry-After", "")
            wait = f"in {after} s" if after.isdigit() else "later"
            return f"{self.url} has had too many requests of yours (429); try again {wait}"
        if status in (401, 403, 404):
            # It does not tell strangers which.
            return (
                f"{self.url} has no repository {repository}, or it is private; check the name, or"
                f" {_TOKEN_HINT}"
            )
        return f"{self.url} answers {status}; try again later"

    def terms(self, repository: str) -> str:
        """What to do about a repository that is open to those alone who accept its terms."""
        return f"accept its terms at {self.url}/{repository}, and {_TOKEN_HINT}"


def _file(told: Any) -> RemoteFile:
    size, lfs = told.get("size"), told.get("lfs") or {}
    sha256 = lfs.get("sha256")
    return RemoteFile(
        str(told["rfilename"]),
        size if isinstance(size, int) else None,
        sha256.lower() if isinstance(sha256, str) else None,
    )


def _stored_token(environment: Mapping[str, str]) -> str:
    """As the hub's own programs keep it after a login."""
    home = environment.get("HOME", "")
    folder = environment.get("HF_HOME") or (f"{home}/.cache/huggingface" if home else "")
    path = environment.get("HF_TOKEN_PATH") or (f"{folder}/token" if folder else "")
    return small_file(Path(path)).decode("ascii", "ignore").strip() if path else ""
