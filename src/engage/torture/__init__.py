"""A whole installation under fire: `engage torture`.

`system` runs every process of an installation behind `proxy`, `members` use it as people and shops do,
`faults` break its parts by a `plan` that follows from a seed, and `checks` judge it from outside, by what
`record` says that clients were answered. Only the command line imports this package; it may import
everything else.
"""
