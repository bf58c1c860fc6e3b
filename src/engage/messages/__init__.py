"""Texts for people in seven languages: problems, reasons, and the trace of a credit.

The translations are gettext catalogues under `locales`, one a language, by keys such as
`refusal.sold_out.detail`. May import the domain; used by the API and by commands.
"""
