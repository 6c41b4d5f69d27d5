"""The configurations: `base` lists every knob, the others state what differs for a data set."""
