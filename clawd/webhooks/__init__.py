"""Signed outbound HTTP: Standard Webhooks signatures, where a call may lead, one attempt and what its answer means."""
