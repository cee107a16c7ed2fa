"""Links to the files of export jobs, which are valid for a time, for whoever has them."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from urllib.parse import urlencode

from app.errors import Gone, NotFound

LINK_TTL = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Links:
    """The maker and reader of links."""

    key: bytes

    def make(self, job_id: str, expires_at: datetime) -> str:
        """Return the address of a file."""
        expires_s = int(expires_at.timestamp())
        query = urlencode({"expires": expires_s, "signature": self._signature(job_id, expires_s)})
        return f"/api/audit/exports/{job_id}/file?{query}"

    def check(self, job_id: str, expires_s: int, signature: str, now: datetime) -> None:
        """Raise `NotFound` unless we made this link, and `Gone` when it has expired."""
        if not hmac.compare_digest(signature.encode(), self._signature(job_id, expires_s).encode()):
            raise NotFound("no such file")
        if now.timestamp() >= expires_s:
            expired = datetime.fromtimestamp(expires_s, UTC).isoformat()
            raise Gone(f"the link expired at {expired}; ask for the job again to get a new one")

    def _signature(self, job_id: str, expires_s: int) -> str:
        return hmac.new(self.key, f"{job_id} {expires_s}".encode(), sha256).hexdigest()
