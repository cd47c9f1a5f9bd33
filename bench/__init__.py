"""The benchmark: streamd and its peers side by side. `README.md` says what is measured, and how.

`__main__` is the command, `run` takes every peer through every scenario in turn. `peers/` starts the
servers, `native/` has the C programs (the load and the floor), `clients` drives the load, `publisher`
publishes, `scenarios/` says what is asked of a server and measures it; `figures`, `report` and `plots`
show what came out.
"""
