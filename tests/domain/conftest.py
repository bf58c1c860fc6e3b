"""Other tests may keep both cores busy: a slow draw is no failure here."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
