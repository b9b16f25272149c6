"""The benchmarks, one per file: what is measured, against which peer, and the target."""
