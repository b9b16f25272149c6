"""DKIM (RFC 6376): the key, the signature field, and who signs the mails of a run."""
