"""Programs that publish into streamd from inside its own process.

An app is handed a ``publish`` callable and runs until it is cancelled. It may import ``streamd.errors`` and
``streamd.config``; what it publishes goes the same way as everybody else's events.
"""
