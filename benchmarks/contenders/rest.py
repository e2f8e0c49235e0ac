"""The application as it is."""

from benchmarks.application import build_full

app = build_full()
