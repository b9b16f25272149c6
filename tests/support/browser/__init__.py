"""Tests that need a browser, and what they are made of."""
