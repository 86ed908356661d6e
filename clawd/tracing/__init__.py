"""Spans of turns for OpenTelemetry: what they are called, what they tell, and how they get to a collector."""
