"""Quotes and holds: paying for an order with points and coupons."""
