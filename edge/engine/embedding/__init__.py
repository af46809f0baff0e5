"""The engine process that turns texts into vectors, or ranks documents: no text comes of it.

It shares with the engine that writes its pipe, its reader, its pulse and its threads. What it does
is simpler: a text is read once, in one pass with others, and nothing of it is kept.
"""
