"""What was answered, for a day: a request that comes again under its key is answered the same, and not done twice."""
