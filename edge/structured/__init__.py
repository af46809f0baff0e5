"""Answers of a given form: JSON by a schema, or text by a grammar, made so that nothing else can
be said. Pure: from what a client asked for to the grammar that the engine samples by, and from an
answer that was cut short to its shortest end."""
