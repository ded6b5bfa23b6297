"""The decisions: draft, submit, approve or reject, withdraw, lift. Two people for every theft."""
