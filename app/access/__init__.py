"""Who may do what: keys, and the roles that they act in. Whoever calls this room records the audit entry."""
