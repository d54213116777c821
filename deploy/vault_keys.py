"""Where the vault's key file lies for deploy: the file that `LASTMETRE_VAULT_KEYS` names, else one in the state folder, made on the first start."""

from __future__ import annotations

from deploy.state import State
from deploy.words import Trouble
from services.runtime import BadSettings, load_settings
from services.vault.faults import BadKeys
from services.vault.keyfile import KeyFile
from services.vault.settings import VaultSettings
from services.vault.vault import utc_now

KEY_FILE = "vault-keys.json"


def settings() -> VaultSettings:
    """The vault's settings from the environment.

    Raises:
        Trouble: one is not valid.
    """
    try:
        return load_settings(VaultSettings)
    except BadSettings as fault:
        chinese, _, english = str(fault).partition(" | ")
        raise Trouble(chinese, english) from fault


def key_file(state: State, found: VaultSettings | None = None) -> KeyFile:
    """The key file to use; it need not be there.

    Raises:
        Trouble: a setting is not valid, or the outer secret is weak.
    """
    try:
        return (found or settings()).key_file(state.folder / KEY_FILE)
    except BadKeys as fault:
        raise Trouble(fault.chinese, fault.english) from fault


def make_key_file(state: State) -> None:
    """Make the state folder's key file (mode 0600) if it is not there, and see that the one in use is good. One that is named is not made: it was to be there.

    Raises:
        Trouble: the key file cannot be used.
    """
    found = settings()
    file = key_file(state, found)
    try:
        if found.vault_keys is None and not file.path.exists():
            file.create(utc_now())
        file.ring()
    except BadKeys as fault:
        raise Trouble(fault.chinese, fault.english) from fault
