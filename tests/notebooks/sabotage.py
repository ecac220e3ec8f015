"""How each lesson's mechanism is disabled: run in the notebook's kernel before its first cell."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["SABOTAGE", "Disabled"]


class Disabled(NamedTuple):
    """A mechanism that is off.

    Attributes
    ----------
    what : str
        In words.
    startup : str
        Python for the notebook's kernel.
    shows : str
        What nbval's report must have: the failure of the mechanism, not of something else.
    """

    what: str
    startup: str
    shows: str


#: No policy ever reaches the agent: every reply is that of a lab that has none.
_NO_POLICY = """
import fqdnlab.lab.lab as module
from fqdnlab.lab.applied import Applied
from fqdnlab.pb import control_pb2 as pb
status = pb.PolicyStatus(namespace="default", name="web-egress", enforced=True)
module.Lab.apply = lambda self, *_, **__: Applied((status,), 1, "", ())
"""

#: Nobody takes mappings any more once a policy is applied.
_AGENT_GONE = """
import fqdnlab.lab.lab as module
apply = module.Lab.apply
def applied(self, *a, **k):
    done = apply(self, *a, **k)
    self.agent.kill()
    return done
module.Lab.apply = applied
"""

_AGENT_LIVES = """
import fqdnlab.lab.process as module
kill = module.Process.kill
module.Process.kill = lambda self: self.state() if self.name == "agent" else kill(self)
"""

#: One proxy goes before the next one comes.
_NO_SURGE = """
import fqdnlab.lab.process as module
def upgrade(self):
    self.kill()
    return self.start()
module.Process.upgrade = upgrade
"""


def _settings(**forced: object) -> str:
    """Every lab has these settings, whatever is asked for."""
    return f"""
import fqdnlab.lab.lab as module
made = module.Lab.__init__
def forced(self, name="lab", **settings):
    made(self, name, **{{**settings, **{forced!r}}})
module.Lab.__init__ = forced
"""


SABOTAGE = {
    "01": Disabled(
        "policies are not applied", _NO_POLICY, "the second policy lets it pass, the first does not"
    ),
    "02": Disabled("policies are not applied", _NO_POLICY, "two labels deep are not matched"),
    "03": Disabled("policies are not applied", _NO_POLICY, "AssertionError"),
    "04": Disabled("nobody takes mappings", _AGENT_GONE, "the kernel learns from answers"),
    "05": Disabled(
        "the agent is not killed",
        _AGENT_LIVES,
        "a new address is not let in while the agent",
    ),
    "06": Disabled("upgrades have no surge", _NO_SURGE, "an upgrade with surge loses nothing"),
    "07": Disabled(
        "there are no collection passes",
        _settings(collection_interval=36000.0),
        "a zombie keeps its flows and takes no new ones",
    ),
    "08": Disabled(
        "answers are never held",
        _settings(hold=0.0),
        "no first packet is lost",
    ),
    "09": Disabled("policies are not applied", _NO_POLICY, "though its look-up was refused"),
    "10": Disabled("the profile is always cilium", _settings(profile="cilium"), "profiles differ"),
    "11": Disabled("policies are not applied", _NO_POLICY, "leaves no way round"),
}
