"""HTTP, events and sockets: what clients of the node meet."""
