"""What is blocked now: every identifier's listing, and the answers that are read from it."""
