"""HTML of an email: where data may stand in it, its CSS inlined, and the text part made from it."""
