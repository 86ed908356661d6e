"""Alerts without Prometheus: rules over sliding windows, told to owners and programs through the outbox."""
