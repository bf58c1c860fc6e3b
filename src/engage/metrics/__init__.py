"""Numbers about a process for Prometheus: plain counters, the catalogue of all metrics, their text, and the
port that serves them.

Counting is an addition in a dict. Everything else happens when somebody asks.
"""
