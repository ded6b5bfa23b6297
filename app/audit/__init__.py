"""The memory: what happened is recorded, sealed in order, and verified from the stored bytes."""
