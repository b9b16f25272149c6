"""Build the bytes of an email: header fields (`headers`), bodies (`bodies`), MIME structure (`mime_template`)."""
