"""What Prometheus asks for: the node's events folded into figures, and its state as it is."""

from edge.metrics.folded import Metrics
from edge.metrics.state import State

__all__ = ["Metrics", "State"]
