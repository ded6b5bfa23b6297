"""What an XLSX file is made of: a ZIP of XML parts, read in blocks as the hostile input that it may be.

Knows sheets, rows and cells; nothing of devices.
"""
