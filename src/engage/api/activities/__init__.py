"""Activities of members, sent by the app or by the shop's server."""
