"""The chat platforms that the suite of bridges runs against, each by its fake."""
