"""Rules that need the network: the DNS, the mail server and the landing page (`review.py`). Nothing is sent."""
