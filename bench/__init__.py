"""The benchmark: streamd compared with its peers. `README.md` describes the measurements.

`__main__` is the command line, `run` measures each peer in each scenario. `peers/` starts the servers,
`native/` has the C programs (the load and the floor), `clients` runs the load program, `publisher`
publishes, `scenarios/` defines and measures the workloads; `figures`, `report` and `plots` show the results.
"""
