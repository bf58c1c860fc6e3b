"""The open console, and the visitor of a request."""

from collections.abc import Callable
from typing import Any, Final

from litestar import Request
from litestar.exceptions import NotFoundException
from litestar.types import Scope
from msgspec import Struct

from engage.domain.identity import Operator as Identity
from engage.domain.operators.roles import Permission, may
from engage.domain.refusals import Refusal
from engage.flows.operators.sign_in import SignedIn
from engage.messages.refusals import refusal_message
from engage.runtime.services import Services
from engage.sandbox_secrets import SandboxSecrets
from engage.store.operators.operators import Operator

STATE: Final = "console"
VISITOR: Final = "console_visitor"

LONGEST_QUERY: Final = 300

# Handlers are typed by this: Litestar reads nothing but the request.
HtmlRequest = Request[Any, Any, Any]


class Console(Struct, frozen=True):
    """An open console. `check` raises Unavailable while the installation cannot work."""

    services: Services
    sandbox: SandboxSecrets | None
    check: Callable[[], None]

    @property
    def is_secure(self) -> bool:
        """Return whether cookies need TLS: everywhere but in a sandbox."""
        return self.sandbox is None


class Visitor(Struct, frozen=True):
    """Whoever sends a request: an operator with a session, or somebody who is not signed in."""

    console: Console
    language: str
    signed_in: SignedIn | None

    @property
    def services(self) -> Services:
        return self.console.services

    @property
    def operator(self) -> Operator:
        assert self.signed_in is not None, "the guard lets only operators in"
        return self.signed_in.operator

    @property
    def identity(self) -> Identity:
        """The operator for flows and the audit log."""
        return Identity(str(self.operator.id), self.operator.email)

    @property
    def programs(self) -> list[str]:
        """The programs that the operator works on."""
        return [program for program in self.services.programs.ids() if self.operator.opens(program)]

    def check_program(self, program: str) -> None:
        """Raises NotFoundException for a program on which the operator does not work: what belongs to it does
        not exist for them.
        """
        if program not in self.programs:
            raise NotFoundException(program)

    def refusal_text(self, refusal: Refusal) -> str:
        """A refusal in the visitor's language."""
        return refusal_message(refusal.code, refusal.facts, self.language).detail

    def may(self, permission: Permission) -> bool:
        return self.signed_in is not None and may(self.operator.role, permission)


def asked(request: HtmlRequest, name: str) -> str:
    """The text of a query parameter, without blanks around it; nothing where it is missing or too long."""
    text = request.query_params.get(name, "").strip()
    return text if len(text) <= LONGEST_QUERY and text.isprintable() else ""


def console_of(scope: Scope) -> Console:
    console: Console = scope["litestar_app"].state[STATE]
    return console


def visitor_of(request: HtmlRequest) -> Visitor:
    """The visitor, whom the guard has identified."""
    visitor: Visitor = request.scope["state"][VISITOR]
    return visitor
