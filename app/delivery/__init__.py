"""The engine that tells partners: claim a lane, send, judge, settle. No transaction spans a call."""
