"""What several files of tests of commands share."""

from tests.support.hub import hub

__all__ = ["hub"]
