"""Calls of apps' interfaces as tasks: what OpenAI's and others have in common."""
