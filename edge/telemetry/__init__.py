"""What the node tells about itself: named events, metrics folded from them, and logs.

Code emits events; it neither logs nor counts. Whoever wants to know attaches a handler.
"""

from edge.telemetry.events import EVENTS, Event, Telemetry

__all__ = ["EVENTS", "Event", "Telemetry"]
