"""The contract says what the API does."""
