"""The blueprints of streamd's own API: events, tasks, connections, operations, and the page at ``/``."""
