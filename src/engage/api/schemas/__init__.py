"""The JSON Schemas of documents over HTTP."""
