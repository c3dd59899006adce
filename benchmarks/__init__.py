"""How fast preflab is, against the machine's own peak and against what a user would pick instead.

`python -m benchmarks.run --help`; the works, their sizes and who does them stand in workloads.py.
"""
