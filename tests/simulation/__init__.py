"""The node in a simulated world: one seed decides everything, and the same seed does it again."""
