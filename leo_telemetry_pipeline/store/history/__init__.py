"""Daily history: durations per day and dimension in log buckets, counts, and what keeps them true.

Does not belong here: percentiles (analysis), spans (store.spans).
"""
