"""The models without a daemon: `clawd.ModelRouter`, for programs of others."""
