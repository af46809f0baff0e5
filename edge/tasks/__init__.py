"""A task, from being accepted to its one end: record, transitions, retry times, queue, estimates.

Pure: no asyncio, no clock, no storage. Events and the time go in, effects come out.
"""
