"""Where events get their ids, in one order for everybody, and are kept for replay.

``port`` says what a log is (pure Python, the layer below the hub); each other module is one
implementation, and all of them pass the contract suite in ``tests/contracts/``. The hub and
everything above see the port only; the composition root chooses.
"""
