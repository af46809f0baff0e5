"""The engine process: llama.cpp, and nothing of the node.

Of the house this room imports `errors` and `clock` alone. The node imports its `messages` alone.
"""
