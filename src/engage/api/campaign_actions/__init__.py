"""Actions of operators on campaigns."""
