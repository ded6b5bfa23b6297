"""The HTTP face: `/v1` resources and the dialects that carriers already speak.

No rule and no SQL lives here.
"""
