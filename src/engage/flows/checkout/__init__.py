"""The checkout: quotes, holds of points and coupons for an order, their capture and release.

May import `domain`, `runtime`, `ledger`, `store`, and `flows.shop`, which follows captured orders.
"""
