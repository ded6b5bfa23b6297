"""What is held on a device, for whom it concerns."""
