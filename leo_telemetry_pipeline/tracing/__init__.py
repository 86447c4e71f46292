"""Trace API of the measured program: operations, and the spans that they become.

Belongs here: what runs inside the program that is measured. Does not: delivery of spans (writer), other sources
(sources).
"""
