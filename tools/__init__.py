"""Generators of the parts of docs/ that are not written by hand: screenshots, the CLI and schema references."""
