"""Speed, side by side with what people would run instead.

Commands: `train_step`, `input_pipeline` and `sweep`. Contenders take turns in one run, and what
counts is the ratio within a round, not a time of its own. In `train_step` each is a process of its
own, so that none inherits another's threads or memory.
"""
