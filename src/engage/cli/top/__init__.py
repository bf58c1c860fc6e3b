"""`engage top`: what an installation does now, read from the operations ports of its parts."""
