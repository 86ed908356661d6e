"""clawd: an always-on AI agent daemon that finishes what it starts."""

__version__ = "0.1.0"
