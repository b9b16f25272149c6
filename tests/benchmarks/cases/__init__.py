"""The benchmarks, a file each: what is measured against whom, and what is to be reached."""
