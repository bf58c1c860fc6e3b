"""The building blocks of documents: field types, decoding with every problem at its path, durations, ISO
codes, and structs that several sections share.

Imports activity, for the names of channels and payment methods.
"""
