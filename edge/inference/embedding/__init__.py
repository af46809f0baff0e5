"""The node's side of an engine of embeddings: who is next, and the process that does it."""
