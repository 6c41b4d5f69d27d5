"""Speed, side by side with what people would run instead; every file here is a command.

Each contender is a process of its own, so that none inherits another's threads or memory. They take
turns in one run, and what counts is the ratio within a round, not a time of its own.
"""
