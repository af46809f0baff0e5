"""What the node tells about itself: named events, metrics folded from them, and logs.

Code emits events; it neither logs nor counts. Whoever wants to know attaches a handler.
"""

from edge.telemetry.events import EVENTS, Event, Telemetry
from edge.telemetry.log import log_events

__all__ = ["EVENTS", "Event", "Telemetry", "log_events"]
