"""The composition root: builds the parts from a configuration, runs them, and ends them in order.

Nothing but this package knows all the others. `python -m clawd.daemon` is the daemon.
"""
