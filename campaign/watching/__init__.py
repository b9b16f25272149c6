"""Keep several campaigns running: what `campaign watch` does, says of itself, and answers over HTTP."""
