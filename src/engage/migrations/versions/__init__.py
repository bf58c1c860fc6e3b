"""One module a schema version, in order. A published version never changes."""
