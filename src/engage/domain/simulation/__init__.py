"""One simulated member, in memory: what examples and campaigns are played on. It is the specification of the
gate, the ledger and the flows. Made of the pure functions that the flows call; knows no feature and no
program.

Imports earning, accounts, members and market.
"""
