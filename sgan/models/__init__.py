"""Saved classifiers: loading them safely, what they say about themselves, measuring them; networks, layers, Adam."""
