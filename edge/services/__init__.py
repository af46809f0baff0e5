"""The product: a task actor for each task, a channel for each watcher, the turns, a journal."""
