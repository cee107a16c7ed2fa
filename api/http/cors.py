"""Cross-origin requests: Starlette's rules, with refusals that state the reason."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.http.problems import OriginRefused, problem

METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE")
PREFLIGHT_S = 3600
"""Seconds for which a browser caches the response to a preflight."""
_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class Cors(CORSMiddleware):
    """CORS middleware that answers refused preflights with a problem and sends `Vary: Origin` to caches."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; answer a preflight here."""
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            headers = Headers(scope=scope)
            if "origin" in headers and "access-control-request-method" in headers:
                answer = self._preflight(headers, scope.get("state", {}).get("correlation_id"))
                await answer(scope, receive, send)
                return
        await super().__call__(scope, receive, send)

    def _preflight(self, headers: Headers, correlation_id: str | None) -> Response:
        answer = self.preflight_response(headers)
        if answer.status_code != 200:
            answer = problem(OriginRefused(self._refusal(headers)), correlation_id)
        answer.headers["Vary"] = _VARY
        return answer

    def _refusal(self, headers: Headers) -> str:
        origin, method = headers["origin"], headers["access-control-request-method"]
        if not self.is_allowed_origin(origin):
            return f"the origin {origin[:200]} is not allowed; CORS_ORIGIN lists the allowed ones"
        if method not in METHODS:
            return f"the method {method[:50]} is not allowed from other origins"
        return f"a header is not allowed from other origins; allowed are {', '.join(self.allow_headers)}"
