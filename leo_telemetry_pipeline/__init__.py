"""Find what got slower in staged, gated work, and follow it until it is fast again.

Nothing belongs here but this sentence: importing the package must cost nothing.
"""
