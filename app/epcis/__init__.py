"""What moved, as others tell it: EPCIS 2.0 events, kept as they came, and what each of them means for us.

Knows no HTTP. What an event means is only named here (`effects.py`); carrying it out is handed in (`carry.py`).
"""
