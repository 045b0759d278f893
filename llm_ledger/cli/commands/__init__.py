"""One module per command, or natural pair. Their imports stay light; the heavy ones wait inside the functions."""
