"""Decode what others wrote: JSON, TOML, CSV and weighted headers, with limits, in bounded time.

Every text from outside the installation comes through here: bodies, frames, tokens, key sets, answers of
providers, program documents. A text beyond a limit is `Malformed`, whatever a parser would have made of it.
Imports nothing of engage.
"""
