"""Models that other programs keep on this disk: they are used where they lie, and never changed.

Each program has a file here that says how its folder is laid out; `roots` says where the folders
are, `walk` goes through them within bounds, and `found` has what comes of it.
"""

from edge.inference.places.found import MODELS_MAX, Found, find
from edge.inference.places.roots import Roots, roots_of_this_user

__all__ = ["MODELS_MAX", "Found", "Roots", "find", "roots_of_this_user"]
