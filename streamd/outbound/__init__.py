"""Requests to other servers (layer 0): bodies, ``Retry-After`` and backoff. Knows nothing of streamd."""
