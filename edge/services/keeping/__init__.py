"""What is kept: the journal of live tasks, the history, and the room that both take."""
