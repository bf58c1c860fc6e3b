"""alembic migrations, from empty. The schema's one description: see versions/."""
