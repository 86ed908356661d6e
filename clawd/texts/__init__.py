"""Every sentence that clawd says to people."""
