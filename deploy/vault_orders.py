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
        if self.minor_ref == self.guardian_ref:
            raise ValueError("guardian_ref：监护人不能是未成年人本人 | guardian_ref: nobody is their own guardian")
        if not self.withdraw:
            if self.purpose is None or self.starts_at is None or self.ends_at is None or self.starts_at >= self.ends_at:
                raise ValueError("须有 purpose、starts_at、ends_at，且先始后终 | purpose, starts_at, ends_at: all three, and it starts before it ends")
            if (self.proof_file is None) == (self.proof_sha256 is None):
                raise ValueError("proof_file 与 proof_sha256 须有且只有其一 | proof_file, proof_sha256: a consent has one of the two")
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
