"""Every error of the house, by whose fault it is.

::

    ElwiftError
    ├── ClientError             the request is at fault; repeating it unchanged cannot help
    │   ├── InvalidRequest      a field is missing, of the wrong type or out of range
    │   ├── PromptTooLong       the prompt does not fit the model's context
    │   ├── BodyTooLarge        the body is over the limit
    │   ├── NotFound            there is no such task, model or page
    │   ├── Conflict            the task is not in a state that allows this
    │   │   └── IdReused        another request was submitted with this task id before
    │   ├── KeyReused           another request was submitted with this Idempotency-Key before
    │   └── Forbidden           the caller may not do this
    ├── Overloaded              the request is fine, the node is full; try again later
    │   └── LimitReached            the node has room, but this client has all that it may have
    ├── EngineError             the engine could not do this one thing; others are not affected
    │   └── EngineDead          the engine process is gone; whoever owns restarts will bring it back
    ├── StorageError            the database refused, for the reason in the message
    ├── StartupError            the node cannot start; the admin has to change something
    │   ├── SettingsError       a setting is unknown, of the wrong type or out of range
    │   └── ModelError          a model file is missing, damaged or no GGUF
    └── InternalError           a defect of ours

This module imports nothing, so that every floor may use it. How an error looks on a wire (HTTP
status, ``phx_reply``, the command line) is decided where the wire is.
"""

from __future__ import annotations


class ElwiftError(Exception):
    """Base of all errors that the house raises on purpose.

    ``code`` is a stable snake_case name for programs; ``str(error)`` is a sentence for people that
    says whose fault it is and what to do next.
    """

    code = "error"


class ClientError(ElwiftError):
    """The caller asked for something that cannot be done as asked.

    ``field`` names the offending member of the request, or is None when no single one is at fault.
    """

    code = "client_error"

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class InvalidRequest(ClientError):
    """A field is missing, unknown, of the wrong type or out of range."""

    code = "invalid_request"


class PromptTooLong(ClientError):
    """The prompt, once tokenised, leaves no room in the model's context."""

    code = "prompt_too_long"


class BodyTooLarge(ClientError):
    """The request body is over the limit in the settings."""

    code = "body_too_large"


class NotFound(ClientError):
    """There is nothing under this name, or the caller may not know of it."""

    code = "not_found"


class Conflict(ClientError):
    """The thing exists but is not in a state that allows this."""

    code = "conflict"


class IdReused(Conflict):
    """The client's own task id belongs to a task that was submitted with another body."""

    code = "task_id_reused"


class KeyReused(ClientError):
    """The Idempotency-Key belongs to a task that was submitted with another body
    (draft-ietf-httpapi-idempotency-key-header-07 section 2.7)."""

    code = "idempotency_key_reused"


class Forbidden(ClientError):
    """The caller is known and may not do this, or is not known and has to be."""

    code = "forbidden"


class Overloaded(ElwiftError):
    """The node is full. Nothing was accepted; the same request may succeed later.

    ``retry_after_ms`` is the node's own estimate of when there will be room.
    """

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class LimitReached(Overloaded):
    """The client has, or asks for, as much as one client may. Nothing was accepted; the same
    request may succeed later, and sooner if the client asks for less."""

    code = "limit_reached"


class EngineError(ElwiftError):
    """The engine could not do this one thing.

    ``recoverable`` says whether another attempt may succeed, ``retry_after_ms`` when to make one.
    """

    code = "engine_error"

    def __init__(
        self, message: str, *, recoverable: bool = True, retry_after_ms: int = 1_000
    ) -> None:
        super().__init__(message)
        self.recoverable = recoverable
        self.retry_after_ms = retry_after_ms


class EngineDead(EngineError):
    """The engine process ended; what ran in it can go on in its successor."""

    code = "engine_dead"


class StorageError(ElwiftError):
    """The database refused a read or a write; the message carries its reason.

    That reason may name files and is for the admin: then clients are told ``for_clients`` instead.
    """

    code = "storage_error"

    def __init__(self, message: str, *, for_clients: str | None = None) -> None:
        super().__init__(message)
        self.for_clients = for_clients


class StartupError(ElwiftError):
    """The node cannot start as configured; the message says what to change."""

    code = "startup_error"


class SettingsError(StartupError):
    """A setting is unknown, of the wrong type or out of range; ``key`` names it."""

    code = "settings_error"

    def __init__(self, message: str, *, key: str) -> None:
        super().__init__(message)
        self.key = key


class ModelError(StartupError):
    """A model file is missing, damaged or not a GGUF."""

    code = "model_error"


class InternalError(ElwiftError):
    """A defect of the node itself; the log has the details under the same request id."""

    code = "internal_error"
