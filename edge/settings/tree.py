"""The tree of all settings: each with its default, its range and what it means."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge.errors import SettingsError


def setting(
    default: Any, doc: str, *, at_least: float | None = None, at_most: float | None = None
) -> Any:
    """A key of the tree: its default, what it means (``elwift config show``), its range."""
    return field(default=default, metadata=_meta(doc, at_least, at_most))


def choice_setting(choices: tuple[str, ...], doc: str) -> Any:
    """A key that is one of these texts, the first by default."""
    return field(default=choices[0], metadata=_meta(doc, choices=choices))


def secret_table_setting(doc: str) -> Any:
    """A key whose value is a table of texts that are shown nowhere, empty by default."""
    return field(default_factory=dict, repr=False, metadata=_meta(doc, secret=True))


def list_setting(doc: str) -> Any:
    """A key whose value is a list of texts, empty by default."""
    return field(default_factory=list, metadata=_meta(doc))


def _meta(
    doc: str,
    at_least: float | None = None,
    at_most: float | None = None,
    *,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> dict[str, Any]:
    return {
        "doc": doc, "at_least": at_least, "at_most": at_most, "choices": choices, "secret": secret,
    }  # fmt: skip


@dataclass(slots=True)
class Server:
    """Where the node listens and whom it lets in."""

    host: str = setting("127.0.0.1", "address to listen on")
    port: int = setting(4000, "port to listen on; 0 picks a free one", at_least=0, at_most=65_535)
    tokens: dict[str, str] = secret_table_setting(
        "who may connect: a name and its secret of 16 characters or more each; empty means anybody"
        " on this machine"
    )
    hosts: list[str] = list_setting(
        "names by which clients may call the node besides its own, such as node.example.com or"
        " *.example.com; needed behind a proxy that passes its own name on"
    )
    origins: list[str] = list_setting(
        "origins of web pages that may use the node, such as http://localhost:5173, //example.com"
        " or * for all; the node's own may always"
    )
    body_bytes_max: int = setting(
        1_048_576, "largest request body", at_least=1_024, at_most=67_108_864
    )
    connections_max: int = setting(
        16_384, "connections at once; fewer where the limit on open files is lower", at_least=16,
        at_most=1_000_000,
    )  # fmt: skip
    connections_per_client_max: int = setting(
        0, "connections at once from one address; 0 means seven eighths of all", at_least=0,
        at_most=1_000_000,
    )  # fmt: skip
    header_ms: int = setting(
        10_000, "how long the headers of a request may take", at_least=100, at_most=3_600_000
    )
    body_ms: int = setting(
        10_000, "how long a request's body may take, and a second more for each 64 KiB of it",
        at_least=100, at_most=3_600_000,
    )  # fmt: skip
    idle_ms: int = setting(
        10_000, "how long a connection may be idle between two requests", at_least=100,
        at_most=3_600_000,
    )  # fmt: skip
    write_ms: int = setting(
        60_000, "how long a client may take nothing of its answer", at_least=100,
        at_most=3_600_000,
    )  # fmt: skip
    drain_ms: int = setting(
        10_000, "how long a stop waits for running tasks", at_least=0, at_most=3_600_000
    )


@dataclass(slots=True)
class Model:
    """Which model runs, and in how much room."""

    name: str = setting("", "a model's name or the path of a GGUF file; empty means the default")
    hub_url: str = setting(
        "", "where `elwift models pull` gets repositories; empty means $HF_ENDPOINT, else"
        " https://huggingface.co"
    )  # fmt: skip
    aliases: list[str] = list_setting(
        "other names by which OpenAI's clients may ask for the model, such as gpt-4o-mini; the"
        " answer tells its own"
    )
    slots: int = setting(16, "tasks generated side by side in one batch", at_least=1, at_most=256)
    context_tokens: int = setting(
        0, "tokens of prompt and output one task may use; 0 means what the model was trained with,"
        " up to 4,096", at_least=0, at_most=1_048_576
    )  # fmt: skip
    threads: int = setting(
        0, "processor threads at most; 0 means the physical cores, from four up but for one",
        at_least=0, at_most=512,
    )  # fmt: skip
    gpu_layers: int = setting(
        -1,
        "layers on the GPU where there is one; -1 means as many as fit its memory",
        at_least=-1,
        at_most=1_000,
    )
    batch_tokens: int = setting(
        512, "tokens of one decode step at most", at_least=32, at_most=16_384
    )
    step_ms: int = setting(
        200, "how long a decode step may take; so much of prompts goes into it", at_least=10,
        at_most=10_000
    )  # fmt: skip
    speculation: bool = setting(
        True, "whether what comes next is guessed from what was said before, where that pays, for"
        " tasks without a seed"
    )  # fmt: skip
    prompt_cache_disk_bytes_max: int = setting(
        256 << 20, "what was read of prompts and is kept over an orderly restart, in bytes, in the"
        " data directory; 0 keeps nothing", at_least=0, at_most=1 << 40,
    )  # fmt: skip
    prompt_cache_mib: int = setting(
        256, "what was read of prompts and is kept in memory when its slot goes to others, in MiB;"
        " 0 keeps nothing", at_least=0, at_most=1_048_576,
    )  # fmt: skip
    kv_type: str = choice_setting(
        ("f16", "q8_0", "q4_0"),
        "numbers of the context's cache: f16, or q8_0 and q4_0 for half and a quarter of the"
        " memory",
    )
    flash_attn: str = choice_setting(
        ("auto", "on", "off"), "flash attention: on, off, or auto where it can be used"
    )
    mmap: bool = setting(True, "whether the model's file is mapped into memory rather than read")
    mlock: bool = setting(False, "whether the model is kept from being swapped out")
    load_timeout_ms: int = setting(
        600_000, "how long a model may take to load", at_least=1_000, at_most=3_600_000
    )
    stall_report_ms: int = setting(
        10_000, "silence of the engine that is reported", at_least=100, at_most=3_600_000
    )
    stall_kill_ms: int = setting(
        60_000, "silence of the engine after which it is restarted", at_least=200, at_most=3_600_000
    )
    restart_base_ms: int = setting(
        100, "wait before a dead engine is started again; it doubles", at_least=1,
        at_most=3_600_000,
    )  # fmt: skip
    restart_max_ms: int = setting(
        30_000, "longest wait before a dead engine is started again", at_least=1, at_most=3_600_000
    )
    deaths_max: int = setting(
        10, "deaths of the engine within ten minutes, none of which made a token; at one more it is"
        " given up", at_least=0, at_most=1_000_000,
    )  # fmt: skip
    given_up_ms: int = setting(
        60_000, "how long until an engine that was given up is tried again", at_least=1,
        at_most=86_400_000,
    )  # fmt: skip


@dataclass(slots=True)
class Models:
    """Several models: which clients may name, and how they share the memory."""

    others: bool = setting(
        True, "whether clients may name other models of this machine than the node's own; they are"
        " loaded when somebody wants them"
    )  # fmt: skip
    memory_bytes_max: int = setting(
        0, "memory of all models together, in bytes; 0 means what is free when the node starts",
        at_least=0, at_most=1 << 50,
    )  # fmt: skip
    keep_alive_ms: int = setting(
        300_000, "how long a model that nobody uses stays in memory; -1 means as long as there is"
        " room, which the node's own always does", at_least=-1, at_most=31 * 86_400_000,
    )  # fmt: skip
    share_ms: int = setting(
        30_000, "how long a model has the memory at least that another waits for", at_least=0,
        at_most=86_400_000,
    )  # fmt: skip


@dataclass(slots=True)
class Data:
    """Where things are kept and for how long."""

    dir: str = setting(
        "", "the data directory; empty means ~/.local/share/elwift or $XDG_DATA_HOME"
    )
    snapshot_ms: int = setting(
        500, "how often running tasks are written down", at_least=50, at_most=60_000
    )
    rows_waiting_max: int = setting(
        200_000, "rows that wait for the disk at most", at_least=1_000, at_most=10_000_000
    )
    keep_hours: int = setting(
        720, "hours for which ended tasks are kept, counted while the node runs", at_least=1,
        at_most=876_000,
    )  # fmt: skip
    keep_tasks_max: int = setting(
        1_000_000,
        "ended tasks kept at most; those that ended first go",
        at_least=0,
        at_most=100_000_000,
    )
    prune_every_ms: int = setting(
        600_000, "how often the database is cleared of what need not be kept", at_least=1_000,
        at_most=86_400_000,
    )  # fmt: skip


@dataclass(slots=True)
class Tasks:
    """What a task may ask for, and how failures are repeated."""

    queue_max: int = setting(
        100_000, "tasks waiting at most; more are refused with 503", at_least=1, at_most=10_000_000
    )
    queue_per_client_max: int = setting(
        100_000, "tasks of one client that have not ended, at most; more are refused with 429",
        at_least=1, at_most=10_000_000,
    )  # fmt: skip
    tokens_per_client_max: int = setting(
        0, "tokens that all tasks of one client that have not ended are expected to take, prompts"
        " and answers; more are refused with 429; 0 means no limit", at_least=0, at_most=1 << 50,
    )  # fmt: skip
    submissions_per_second_max: int = setting(
        0, "tasks that one client may submit or run again a second; more are refused with 429; 0"
        " means no limit", at_least=0, at_most=1_000_000,
    )  # fmt: skip
    submissions_burst_max: int = setting(
        50, "of these, how many may come at once after a pause", at_least=1, at_most=1_000_000
    )
    held_bytes_max: int = setting(
        0, "bytes of requests in memory at most; more are refused with 503; 0 means a quarter of"
        " the machine's memory", at_least=0, at_most=1 << 50,
    )  # fmt: skip
    max_tokens: int = setting(
        256, "output tokens when the request does not say", at_least=1, at_most=1_048_576
    )
    max_attempts: int = setting(
        5, "attempts when the request does not say", at_least=1, at_most=1_000
    )
    retry_base_ms: int = setting(
        1_000, "wait after the first failed attempt; it doubles", at_least=1, at_most=3_600_000
    )
    retry_max_ms: int = setting(
        300_000, "longest wait between attempts", at_least=1, at_most=86_400_000
    )
    finished_keep_ms: int = setting(
        60_000, "how long an ended task stays in memory", at_least=0, at_most=86_400_000
    )
    position_push_ms: int = setting(
        500, "queue places are pushed at most this often", at_least=10, at_most=60_000
    )
    priority_step_ms: int = setting(
        20_000, "how much longer a task may wait for each level of its priority", at_least=0,
        at_most=3_600_000,
    )  # fmt: skip


@dataclass(slots=True)
class Fallback:
    """How tasks that allow it are answered when the model cannot."""

    enabled: bool = setting(
        True, "whether tasks that allow it are answered otherwise, marked as degraded, when the"
        " model cannot"
    )  # fmt: skip
    outage_ms: int = setting(
        300_000, "how long the engine may be down before waiting tasks are answered otherwise; one"
        " that was given up is not waited for", at_least=0, at_most=86_400_000
    )  # fmt: skip
    slots: int = setting(4, "tasks answered otherwise side by side", at_least=1, at_most=256)
    history: bool = setting(
        True, "whether the answer that the same client got to the same request may be given again"
    )
    embedded: bool = setting(True, "whether the embedded model may answer")
    idle_ms: int = setting(
        60_000, "how long the embedded model stays loaded without work", at_least=100,
        at_most=86_400_000,
    )  # fmt: skip
    notice: str = setting(
        "The model of this node is not available at the moment, so this request could not be"
        " answered. Please try again later.",
        "what a task is told when nothing else can answer it; empty means that it waits, or fails",
    )


@dataclass(slots=True)
class Embeddings:
    """Models that turn texts into vectors, or rank them, beside the one that writes."""

    model: str = setting(
        "", "the model for embeddings: its name or the path of a GGUF file; empty means none"
    )
    rerank_model: str = setting(
        "", "the model that ranks documents for a query: its name or the path of a GGUF file; empty"
        " means none",
    )  # fmt: skip
    aliases: list[str] = list_setting(
        "other names by which clients may ask for embeddings.model, such as text-embedding-3-small"
    )
    pooling: str = choice_setting(
        ("auto", "mean", "cls", "last"),
        "how a vector is made of a text's tokens: auto as the model's file says, or mean, cls or"
        " last where it does not",
    )
    cuttable: str = choice_setting(
        ("auto", "yes", "no"),
        "whether a vector may be cut to the dimensions that a client asks for: auto where the model"
        " is known to be trained for it",
    )
    context_tokens: int = setting(
        0, "tokens that a text may have; 0 means what the model was trained with, up to 2,048",
        at_least=0, at_most=1_048_576,
    )  # fmt: skip
    threads: int = setting(
        0, "processor threads at most; 0 means as many as model.threads would choose", at_least=0,
        at_most=512,
    )  # fmt: skip
    gpu_layers: int = setting(
        -1, "layers on the GPU where there is one; -1 means as many as fit its memory",
        at_least=-1, at_most=1_000,
    )  # fmt: skip
    keep_alive_ms: int = setting(
        300_000, "how long the model stays loaded without work", at_least=0, at_most=86_400_000
    )
    call_ms: int = setting(
        300_000, "how long a call may take, the loading of the model included", at_least=100,
        at_most=86_400_000,
    )  # fmt: skip


@dataclass(slots=True)
class Socket:
    """The Phoenix socket: limits of one connection."""

    flush_window_ms: int = setting(
        8, "progress of one task within this time is sent as one", at_least=0, at_most=1_000
    )
    idle_ms: int = setting(
        60_000, "silence of a client after which its socket is closed", at_least=100,
        at_most=3_600_000,
    )  # fmt: skip
    frame_bytes_max: int = setting(
        1_048_576, "largest frame from a client", at_least=1_024, at_most=67_108_864
    )
    channels_max: int = setting(100, "topics joined on one socket", at_least=1, at_most=100_000)
    write_ms: int = setting(
        60_000, "how long a client may take nothing while something waits for it", at_least=100,
        at_most=3_600_000,
    )  # fmt: skip
    outbox_bytes_max: int = setting(
        4_194_304, "bytes waiting for a slow client before it is cut off", at_least=16_384,
        at_most=1_073_741_824,
    )  # fmt: skip
    outboxes_bytes_max: int = setting(
        268_435_456, "bytes waiting for all slow clients together; then who holds most is cut off",
        at_least=16_384, at_most=1_099_511_627_776,
    )  # fmt: skip


@dataclass(slots=True)
class Health:
    """What ``/readyz`` takes for well."""

    limit_ms: int = setting(
        5_000, "time for the engine to make a token, and for the database to commit", at_least=50,
        at_most=600_000,
    )  # fmt: skip
    lag_max_ms: int = setting(500, "how late the event loop may be", at_least=1, at_most=60_000)
    disk_free_min_mib: int = setting(
        500, "free space on the disk of the data directory, in MiB", at_least=0,
        at_most=1_000_000_000,
    )  # fmt: skip
    memory_free_min_mib: int = setting(
        200, "free memory of the machine, in MiB", at_least=0, at_most=1_000_000_000
    )


LOG_LEVELS: Final = ("warning", "error", "info", "debug")


@dataclass(slots=True)
class Log:
    """What the node says on its standard error."""

    format: str = choice_setting(
        ("human", "json"), "lines for people, or an object a line for machines"
    )
    level: str = choice_setting(
        LOG_LEVELS, "what is at least as grave is said; `PUT /log?level=…` changes it"
    )
    paths: bool = setting(False, "whether directories of this machine are told")


@dataclass(slots=True)
class Settings:
    """The whole tree. Made by `load`; plain values from there on."""

    server: Server = field(default_factory=Server)
    model: Model = field(default_factory=Model)
    models: Models = field(default_factory=Models)
    data: Data = field(default_factory=Data)
    tasks: Tasks = field(default_factory=Tasks)
    fallback: Fallback = field(default_factory=Fallback)
    embeddings: Embeddings = field(default_factory=Embeddings)
    socket: Socket = field(default_factory=Socket)
    health: Health = field(default_factory=Health)
    log: Log = field(default_factory=Log)

    def data_dir(self, environment: Mapping[str, str] = os.environ) -> Path:
        """The data directory, made absolute; it need not exist. SettingsError when it depends on a
        home directory and this user has none, as in many a service."""
        base = environment.get("XDG_DATA_HOME", "")
        # A relative one is to be ignored (XDG Base Directory Specification, "Basics").
        share = base if base.startswith("/") else "~/.local/share"
        chosen = Path(self.data.dir or f"{share}/elwift")
        try:
            return chosen.expanduser().absolute()
        except RuntimeError as error:
            raise SettingsError(
                f"{chosen} cannot be found, since this user has no home directory;"
                " name the data directory with --data-dir, or set HOME",
                key="data.dir",
            ) from error
