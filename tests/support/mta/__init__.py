"""The mail system of a receiver, from Debian's packages: Postfix, opendkim and SpamAssassin, on loopback."""
