"""The proof of the promise: a loop that kills the sender, and a checker that shares no code with it."""
