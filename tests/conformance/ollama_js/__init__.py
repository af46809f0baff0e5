"""Ollama's own library for JavaScript against a real node."""
