"""Connections to chat platforms, one folder each."""
