"""The blueprints of streamd's own API: events, tasks, operations, and the page at ``/``."""
