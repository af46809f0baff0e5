"""Tests of the embedded model and of its recipe."""
