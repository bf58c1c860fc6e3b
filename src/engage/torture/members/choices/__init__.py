"""Things to do, by subject: each a function of what is known and of chance, with its weight."""
