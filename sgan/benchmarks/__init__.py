"""Measurements: `python -m sgan.benchmarks.NAME`."""
