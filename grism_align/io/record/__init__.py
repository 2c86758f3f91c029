"""The record: every fitted transform, written to and read from an ASDF file."""
