"""What takes several people: it is proposed, approved by others as the rules say, and only then done."""
