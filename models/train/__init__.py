"""The recipe that trains the embedded storyteller from scratch; see ../README.md for the steps."""
