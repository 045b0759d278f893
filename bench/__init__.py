"""Measurements: ratios against the bare driver, a peer and the bare SDK, each taken in the same run."""
