"""How the node is, and who is told."""
