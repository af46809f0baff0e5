"""What a model's text says besides its content: what it thought, and tools that it calls."""
