"""What other batch tools make of the faults that ours is built for: `python -m bench.other_tools`."""
