"""Alembic migrations. The tables as they are now are described in `engage.schema`; a migration leads there.

To write one: change `engage.schema`, and with an installation running at the newest revision

    ENGAGE_DATABASE_URL=… alembic revision --autogenerate -m "Add quizzes" --rev-id 0003

Read what it wrote, then add what alembic does not see: CHECK constraints, collations, predicates of indexes,
storage parameters and views. tests/schema compares all of them with the database that the migrations make,
and tests/store/test_migrations.py takes each migration back and does it again.
"""
