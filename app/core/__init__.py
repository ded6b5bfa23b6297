"""The ground that every room stands on: identity, settings, errors, log, and the way to the database."""
