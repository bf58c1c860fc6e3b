"""The review of referrals."""
