"""The embedded storyteller model: its recipe, its file and its card."""
