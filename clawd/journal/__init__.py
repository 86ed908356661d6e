"""The durable record of every conversation."""
