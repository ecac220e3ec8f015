"""What Vagrant says becomes an error of the right kind; its tables are read."""

from __future__ import annotations

import pytest

from fqdnlab.errors import (
    FqdnlabError,
    LateError,
    SetupError,
    UnavailableError,
    UsageError,
)
from fqdnlab.vagrant.programs import Ended
from fqdnlab.vagrant.verbs import BusyError, explained, parsed_status

#: As Vagrant 2.3.4 words them, wrapped, and with the machine's name before each line.
SAID = {
    "box": (
        "==> node: Box 'fqdnlab/none' could not be found.\n"
        "An error occurred while executing the action on the 'node'\n"
        "machine. Please handle this error then try again:\n\n"
        "The box 'fqdnlab/none' could not be found or\n"
        "could not be accessed in the remote catalog. If this is a private\n",
        SetupError,
        "the box is not here",
    ),
    "provider": (
        "The provider 'libvirt' could not be found, but was requested to\n"
        "back the machine 'node'. Please use a provider that exists.\n",
        SetupError,
        "no such provider",
    ),
    "libvirt": (
        "Error while connecting to Libvirt: Error making a connection to libvirt URI qemu:///system",
        SetupError,
        "libvirt does not answer",
    ),
    "busy": (
        "An action 'halt' was attempted on the machine 'node',\n"
        "but another process is already executing an action on the machine.\n",
        BusyError,
        "another vagrant",
    ),
    "locked": (
        "Vagrant can't use the requested machine because it is locked! This\n"
        "means that another Vagrant process is currently reading or modifying\n"
        "the machine. Please wait for that Vagrant process to end and try\n",
        BusyError,
        "another vagrant",
    ),
    "another folder": (
        "Name `fqdnlab-node` of domain about to create is already taken. Please try to run\n"
        "`vagrant up` command again.\n",
        SetupError,
        "made from another folder",
    ),
    "half up": (
        "Timed out while waiting for the machine to boot. This means that\n"
        "Vagrant was unable to communicate with the guest machine within\n",
        LateError,
        "half up",
    ),
    "snapshot": (
        "The snapshot name `none` was not found for the\nvirtual machine `node`.\n",
        UsageError,
        "no snapshot",
    ),
    "anything else": ("Vagrant failed to initialize at a very early stage", UnavailableError, ""),
}


@pytest.mark.parametrize("name", SAID)
def test_whose_fault_it_is_and_what_to_do(name: str) -> None:
    text, kind, words = SAID[name]
    error = explained("up", Ended(1, text, False))
    assert type(error) is kind
    assert words in error.message
    assert error.remedy
    assert text.strip().splitlines()[-1] in error.message, "what Vagrant said is not withheld"


def test_what_was_given_up_is_late_whatever_it_said() -> None:
    error: FqdnlabError = explained("up", Ended(-15, "Waiting for machine to boot", True))
    assert type(error) is LateError
    assert "FQDNLAB_PATIENCE" in error.remedy


def test_the_states_of_machines() -> None:
    said = (
        "1732400000,node,metadata,provider,libvirt\n1732400000,node,state,running\n"
        "1732400000,internet,state,not_created\n1732400000,,ui,info,Current machine states:\\n\\n\n"
    )
    assert parsed_status(said) == {"node": "running", "internet": "not_created"}
