"""What a person should look at now: raised, listed, seen."""
