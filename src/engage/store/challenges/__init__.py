"""Facts that challenges count, and what their steps have paid."""
