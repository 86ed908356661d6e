"""What goes out: the outbox, previews, activity."""
