"""Simple implementations that benchmarks compare engage with. Each does less than engage does.

May import `setup` and the parts of the engine that both sides of a comparison share.
"""
