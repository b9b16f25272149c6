"""DKIM (RFC 6376): the private key (`key`), the DKIM-Signature field (`signature`) and the signer (`signer`)."""
