"""A run of a command: its options, its folder and files, its training loop, its device, and how it ends."""
