"""Program versions: publish one, list them, read their documents.

May import `domain`, `runtime` and `store`.
"""
