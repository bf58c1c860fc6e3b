"""The home screen of a member, and registering, changing, merging and erasing members."""
