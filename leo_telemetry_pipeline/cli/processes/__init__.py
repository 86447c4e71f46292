"""Long-running commands and their child processes: dev, worker, serve, service.

Does not belong here: commands that end by themselves (cli).
"""
