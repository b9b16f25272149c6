"""The send log as a SQLite file: its statements, its schema and migrations, and the file with its lock."""
