"""Members: the eligibility in a document, card numbers and phone numbers."""
