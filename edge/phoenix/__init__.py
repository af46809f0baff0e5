"""Phoenix Channels, pure: the wire format in both versions, topic routing, a socket's machine.

Nothing here knows of connections, actors or time. The transport (`edge.gateway.socket`) feeds
frames in and carries the effects out.
"""

from edge.phoenix.effects import (
    CloseSocket,
    Deliver,
    Effect,
    LeaveChannel,
    StartChannel,
    State,
    StopChannel,
    Subscription,
)
from edge.phoenix.messages import (
    CLOSE_GOING_AWAY,
    CLOSE_RESTART,
    CLOSE_TRY_LATER,
    CLOSE_UNDECODABLE,
    Broadcast,
    Encoded,
    EncodeError,
    Frame,
    Json,
    Mergeable,
    MergeablePush,
    Message,
    Payload,
    ProtocolError,
    Reply,
)
from edge.phoenix.router import Router
from edge.phoenix.serializer import V1, V2, Serializer, negotiate
from edge.phoenix.socket import IllegalTransition, Socket

__all__ = [
    "CLOSE_GOING_AWAY",
    "CLOSE_RESTART",
    "CLOSE_TRY_LATER",
    "CLOSE_UNDECODABLE",
    "V1",
    "V2",
    "Broadcast",
    "CloseSocket",
    "Deliver",
    "Effect",
    "EncodeError",
    "Encoded",
    "Frame",
    "IllegalTransition",
    "Json",
    "LeaveChannel",
    "Mergeable",
    "MergeablePush",
    "Message",
    "Payload",
    "ProtocolError",
    "Reply",
    "Router",
    "Serializer",
    "Socket",
    "StartChannel",
    "State",
    "StopChannel",
    "Subscription",
    "negotiate",
]
