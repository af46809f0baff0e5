"""HTTP/1.1 as the node speaks it, below the application: connections, their limits and deadlines,
requests that are none, bodies.

aiohttp parses, routes and answers. Its server believes in its clients; this one meets those that
are slow, silent, many, or make no sense.
"""
