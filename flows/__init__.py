"""Runs the studies: fan out, cache, retry.  Thin; what is computed lives in `nst`."""
