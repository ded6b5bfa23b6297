"""The never-rules of the house, checked. Each rule also has a small sample that it must refuse."""
