"""The crash test of the promises: a loop that kills the sender, and a checker that shares no code with it."""
