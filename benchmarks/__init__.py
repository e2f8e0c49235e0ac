"""Measures what a tool call costs beside the REST call it makes. `make bench` runs it."""
