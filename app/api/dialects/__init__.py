"""The forms in which carriers already ask, each held to its own published specification."""
