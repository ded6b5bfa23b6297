"""The registry: what came in (intake, pure parsing), what it is tied to (register), where it is (find)."""
