"""Operations of the measured program, and their spans.

Belongs here: code that runs inside the measured program. Does not: delivery (writer), other sources (sources).
"""
