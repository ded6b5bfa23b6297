"""Diameter S13 (3GPP TS 29.272): the MMEs and SGSNs of 4G and 3G cores ask here whether an equipment is blocked."""
