"""IMEI registry and stolen-device blocking gateway.

The rooms and the floors they stand on are drawn in README.md; imports run down only (checked in CI).
"""
