"""The product: a task actor for each task, a channel for each watcher, a dispatcher, a journal."""
