"""Members: the eligibility in a document, references of persons, card numbers and phone numbers."""
