"""Benchmarks of streamd: ``python -m bench fanout``. See ``bench/README.md`` for what they say."""
