"""Expected refusals: the catalogue of their codes, and the exception that carries one.

A code has a status, facts that are safe to show, and the requests in which it can occur. The OpenAPI
document, the messages and the tests derive from the catalogue. Imports nothing of engage.
"""

from engage.domain.refusals.codes import Code, codes_of
from engage.domain.refusals.facts import Fact
from engage.domain.refusals.refusal import AccountClosed, AccountFull, Refusal, Unavailable
from engage.domain.refusals.use_cases import RequestKind, UseCase

__all__ = [
    "AccountClosed",
    "AccountFull",
    "Code",
    "Fact",
    "Refusal",
    "RequestKind",
    "Unavailable",
    "UseCase",
    "codes_of",
]
