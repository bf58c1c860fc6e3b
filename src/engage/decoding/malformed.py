"""The one exception for a text that cannot be decoded."""


class Malformed(ValueError):
    """A text that cannot be decoded, or is beyond a limit. The message says what is wrong and where."""
