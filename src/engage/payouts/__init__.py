"""Payout providers behind one interface (`port`): MTN MoMo, and one for the sandbox that pays nobody.

May import `domain` only. Flows choose the provider through `engage.runtime.payout_provider`.
"""
