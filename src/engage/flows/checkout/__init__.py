"""The checkout: quotes, holds of points and coupons for an order, their capture and release.

May import `domain`, `runtime`, `ledger`, `store`, and `flows.orders`, which follows captured orders.
"""
