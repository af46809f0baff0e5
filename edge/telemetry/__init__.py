"""What the node tells about itself: named events, metrics folded from them, and logs.

Code emits events; it neither logs nor counts. Whoever wants to know attaches a handler.
"""

from edge.telemetry.events import Event, Handler, Span, Telemetry
from edge.telemetry.log import log_events
from edge.telemetry.table import EVENTS, Kind

__all__ = ["EVENTS", "Event", "Handler", "Kind", "Span", "Telemetry", "log_events"]
