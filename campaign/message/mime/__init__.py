"""The bytes of an email: header fields, encoded bodies, and the structure around them."""
