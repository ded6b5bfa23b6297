"""A witness of other gateways' logs: it signs what grew, and never what was rolled back. Knows no database of ours."""
