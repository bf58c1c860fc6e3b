"""Streaks in examples: buying a freeze, and what a step can expect of the streak. How streaks count is in
`engage.domain.earning`.
"""
