"""Ollama's HTTP interface: each call is a task of the node like any other."""
