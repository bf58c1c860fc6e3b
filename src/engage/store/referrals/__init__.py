"""Referrals, codes of invitations, and what members have in common, and their checks for the audit."""
