"""What the benchmarks share: processes, servers, peers, the program's input, the table."""
