"""The catalogue of rewards, redemptions, coupons and F-codes."""
