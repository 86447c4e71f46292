"""What is kept, and for how long: partitions, archive, purge, maintenance.

Does not belong here: daily history, which stays (store.history).
"""
