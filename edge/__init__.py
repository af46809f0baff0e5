"""Elwift Edge: run AI tasks on one's own box, watch them live, never lose one."""

__version__ = "0.1.0"
