"""Levels of members, for the shop and for operators. The app sees them on the home screen."""
