"""Delivery of alerts: from the outbox to channels, in a process that no analysis waits for.

Belongs here: channels, and the text that they carry. Does not: which events make alerts (actions.alerts).
"""
