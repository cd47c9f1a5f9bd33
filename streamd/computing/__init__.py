"""Computing beside the event loop: by turns in a worker thread, or in worker processes.

::

    processes.py   WorkerProcesses: a few processes, started when there is a large computation
    child.py       what runs in such a process: the limits of its computing time and memory
    computer.py    Computer: small computations by turns, large ones in a worker process
    settings.py    ComputingSettings

A small computation costs less than its way to another process, and by turns it delays nobody. A large one
would compete with the event loop for the interpreter for seconds. In a process of its own it does not, and
the process can be ended when the text was made to take for ever.

Worker processes import the module of the computation alone. So ``child`` imports neither trio
nor a part of streamd but :mod:`..errors` and :mod:`..steps`, and this module imports nothing.
"""
