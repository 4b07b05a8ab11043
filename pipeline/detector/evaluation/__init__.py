"""How good a detector is: matching, average precision, bootstrap intervals, error types, the gate."""
