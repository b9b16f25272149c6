"""Rows of the catalogue of faults, played against the whole program."""
