"""How a chat model of somebody else's becomes one of ours, and what is done with its calls."""
