"""GitHub Actions: workflow runs, jobs and steps, from JSON that ``gh`` or the REST API wrote into files.

Belongs here: finding and reading such files, and their spans. Does not: asking GitHub, which needs a token.
"""
