"""The lines of `vault consents --from`: a consent to note, or to withdraw."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from deploy.vault import digest_of
from schemas.base import Instant, PersonRef
from services.vault.consents import Consent, Purpose
from services.vault.vault import utc_now


class ConsentOrder(BaseModel):
    """One line. The proof is a file that is digested here, or its digest; what it says is kept elsewhere."""

    model_config = ConfigDict(strict=True, extra="forbid", hide_input_in_errors=True)

    minor_ref: PersonRef
    guardian_ref: PersonRef
    purpose: Purpose | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    proof_file: str | None = None
    proof_sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    withdraw: bool = False

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if not self.withdraw:
            if self.purpose is None or self.starts_at is None or self.ends_at is None or self.starts_at >= self.ends_at:
                raise ValueError("purpose, starts_at and ends_at belong to a consent, in this order of time")
            if (self.proof_file is None) == (self.proof_sha256 is None):
                raise ValueError("a consent has proof_file or proof_sha256")
        return self

    def consent(self) -> Consent:
        """The consent to note.

        Raises:
            Trouble: the proof cannot be read.
        """
        assert self.purpose is not None
        assert self.starts_at is not None
        assert self.ends_at is not None
        proof = bytes.fromhex(self.proof_sha256) if self.proof_sha256 else digest_of(Path(self.proof_file or ""))
        return Consent(self.minor_ref, self.guardian_ref, self.purpose, self.starts_at, self.ends_at, proof, utc_now())
