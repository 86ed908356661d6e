"""Configuration: schema, loader, watcher."""
