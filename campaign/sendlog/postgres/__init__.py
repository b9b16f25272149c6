"""The send log in PostgreSQL: its SQL, by name, in `statements.SQL`."""
