"""Saved classifiers: loading them safely, what they say about themselves, measuring them; and a faster convolution."""
