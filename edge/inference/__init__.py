"""The node's side of the engine: which models there are, and the process that runs one."""

from edge.inference.command import (
    CONTEXT_TOKENS_DEFAULT,
    EngineCommand,
    check_cache,
    check_context,
    policy_of,
)
from edge.inference.engine import EngineActor
from edge.inference.model_file import ModelFile
from edge.inference.models import resolve
from edge.inference.policy import LifecyclePolicy
from edge.inference.protocol import (
    Abort,
    CountTokens,
    EngineDown,
    EngineGivenUp,
    EngineLoading,
    EngineLost,
    EngineStatus,
    EngineUp,
    FollowEngine,
    Run,
    StartEngine,
    Status,
    StopEngine,
    Subscribe,
    follow_engine,
    stop,
)
from edge.inference.shipped import standby

__all__ = [
    "CONTEXT_TOKENS_DEFAULT",
    "Abort",
    "CountTokens",
    "EngineActor",
    "EngineCommand",
    "EngineDown",
    "EngineGivenUp",
    "EngineLoading",
    "EngineLost",
    "EngineStatus",
    "EngineUp",
    "FollowEngine",
    "LifecyclePolicy",
    "ModelFile",
    "Run",
    "StartEngine",
    "Status",
    "StopEngine",
    "Subscribe",
    "check_cache",
    "check_context",
    "follow_engine",
    "policy_of",
    "resolve",
    "standby",
    "stop",
]
