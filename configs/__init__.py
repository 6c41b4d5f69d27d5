"""One file a data set and its protocol; every knob is listed there, with its unit."""
