"""Daily history: histograms and span counts per day, and the detection of stale days.

Does not belong here: percentiles (analysis), spans (store.spans).
"""
