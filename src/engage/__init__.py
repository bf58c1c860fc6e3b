"""A loyalty and gamification backend for store apps."""

from importlib.metadata import version

__version__ = version("engage")
