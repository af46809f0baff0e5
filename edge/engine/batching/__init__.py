"""Continuous batching: who is in a step with how many tokens, and whose caches stay. Pure."""
