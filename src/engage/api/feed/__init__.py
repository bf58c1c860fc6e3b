"""Tickets for the websocket feed."""
