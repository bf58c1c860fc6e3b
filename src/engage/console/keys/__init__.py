"""API keys: with which the shop's servers and operators' programs call the API."""
