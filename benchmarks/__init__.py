"""Measures speed, side by side with what people would run instead.

There are three commands: `train_step`, `input_pipeline` and `sweep`. The contenders take turns in
one run, and what counts is the ratio of their times within a round, not a single time. In
`train_step` each contender is a process of its own, so that none inherits another's threads or
memory.
"""
