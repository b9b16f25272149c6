"""Shared parts of the benchmarks: processes, servers, peers, the program's input, the table."""
