"""The catalogue of faults that are tested against the whole program."""
