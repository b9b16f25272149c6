"""Support for the tests that run in a browser."""
