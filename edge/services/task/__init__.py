"""One task: its actor, its turn, its end, and all tasks that there are."""
