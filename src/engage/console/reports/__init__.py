"""Reports of finance: the liability, and a member's balance at a past instant."""
