"""`engage bench`: what this machine makes of engage, measured on real servers and real processes."""
