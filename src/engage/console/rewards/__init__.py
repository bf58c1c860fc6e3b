"""Rewards and what is left of them; codes that are void."""
