"""The setting that names the policy file, for whoever decides by it or explains what was decided."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from services.matcher.policies import Policies
from services.runtime import ProcessSettings


class PolicySettings(ProcessSettings):
    """`LASTMETRE_POLICY`; a file that cannot be used is refused at the start."""

    policy: Path | None = Field(None, description="填匹配规则文件的路径，或不设 | give the path of a policy file, or leave it unset for the usual rules")

    @model_validator(mode="after")
    def _policy_can_be_used(self) -> Self:
        Policies.read(self.policy)
        return self
