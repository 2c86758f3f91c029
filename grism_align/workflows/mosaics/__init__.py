"""Mosaics of visits, made exposure by exposure."""
