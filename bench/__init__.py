"""The figures: how fast and how small it is, beside its peers, in the same interleaved runs.

``python -m bench`` (``make bench``) plays every section, prints a table and writes
``build/bench/bench.json``.  A section is a module with a `Section` in it, listed in `sections`.
"""
