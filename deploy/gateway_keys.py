"""Where the gateway's key file lies for deploy: the file that `LASTMETRE_IDENTITY_KEYS` names, else one in the state folder, made on the first start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from deploy.state import State
from deploy.words import Trouble
from services.gateway.identity.keys import BadKeys, Keys, make_key_file, read_key_file

KEY_FILE: Final = "gateway-keys"
VARIABLE: Final = "LASTMETRE_IDENTITY_KEYS"


def gateway_key_file(state: State) -> Path:
    """The key file to use; it need not be there."""
    named = os.environ.get(VARIABLE)
    return Path(named).expanduser().resolve() if named else state.folder / KEY_FILE


def gateway_keys(state: State) -> Keys:
    """The keys.

    Raises:
        Trouble: the key file cannot be used.
    """
    path = gateway_key_file(state)
    try:
        return read_key_file(path)
    except BadKeys as fault:
        if path.exists() or os.environ.get(VARIABLE):
            raise Trouble(fault.chinese, fault.english) from fault
        raise Trouble(f"{fault.chinese}。请用 {VARIABLE} 指明网关的密钥文件。", f"{fault.english}. Let {VARIABLE} name the gateway's key file.") from fault


def make_gateway_key_file(state: State) -> None:
    """Make the state folder's key file if it is not there, and see that the one in use is good. One that is named is not made: it was to be there.

    Raises:
        Trouble: the key file cannot be used.
    """
    if not os.environ.get(VARIABLE):
        make_key_file(gateway_key_file(state))
    gateway_keys(state)
