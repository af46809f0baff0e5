"""Models that are fetched from elsewhere: from a hub of repositories, or from any address.

What was asked for is read by `wanted`, short names stand in `catalogue`; `hub` and `web` fetch into
a folder of unfinished files, and `arrival` makes a model of what is whole and what it should be.
"""
