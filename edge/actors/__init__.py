"""Actors, as in Erlang's OTP: mailboxes, monitors, a registry of names, supervisors.

An actor handles one message at a time, to completion, on the loop's thread; an idle one is two
small objects and holds no runner. All the rest of the house goes through the names below.
"""

from edge.actors.actor import Actor
from edge.actors.calls import Reply
from edge.actors.errors import ActorDown, AlreadyRegistered, CallTimeout
from edge.actors.reasons import KILLED, NORMAL, SHUTDOWN, Crash, Exhausted, MailboxOverflow, Reason
from edge.actors.ref import Down, Ref
from edge.actors.registry import Registry
from edge.actors.supervisor import ChildSpec, Restart, Supervisor
from edge.actors.system import System

__all__ = [
    "KILLED",
    "NORMAL",
    "SHUTDOWN",
    "Actor",
    "ActorDown",
    "AlreadyRegistered",
    "CallTimeout",
    "ChildSpec",
    "Crash",
    "Down",
    "Exhausted",
    "MailboxOverflow",
    "Reason",
    "Ref",
    "Registry",
    "Reply",
    "Restart",
    "Supervisor",
    "System",
]
