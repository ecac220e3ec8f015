"""How each lesson's own mechanism is disabled, in the notebook's kernel before its first cell."""

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
        What an assertion of the notebook must say: the mechanism failed, not something else.
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

#: A star stands for characters of several labels, in the matchers and in what is applied.
_WIDE_STARS = """
from pathlib import Path
import fqdnlab.lab.lab as module
from fqdnlab.model import names
names._CHAR = "[-a-zA-Z0-9_.]"
apply = module.Lab.apply
def wide(self, policy):
    return apply(self, Path(policy).read_text().replace('"*.', '"**.'))
module.Lab.apply = wide
"""

#: What the kernel holds is not to be seen.
_NO_MAPS = """
import fqdnlab.lab.lab as module
maps = module.Lab.maps
module.Lab.maps = lambda self, *names: maps(self, *names).iloc[:0]
"""

#: However often an address is given, no two names get the same.
_OWN_ADDRESSES = """
import itertools
from fqdnlab.world.client import World
put, numbers = World.__setitem__, itertools.count(19)
World.__setitem__ = lambda self, name, _: put(self, name, [f"203.0.113.{next(numbers)}"])
"""

#: The policies that are too wide never arrive, and so need not be withdrawn.
_NOT_OPENED = """
import fqdnlab.lab.lab as module
apply = module.Lab.apply
def narrow(self, policy):
    return None if "-open-" in policy else apply(self, policy)
module.Lab.apply = narrow
module.Lab.delete_policy = lambda self, name: None
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
    "01": (
        Disabled(
            "policies are not applied",
            _NO_POLICY,
            "the second policy lets it pass, the first does not",
        ),
    ),
    "02": (Disabled("a star crosses dots", _WIDE_STARS, "two labels deep are not matched"),),
    "03": (
        Disabled("the kernel's maps are empty", _NO_MAPS, "the kernel's map has the answer's"),
        Disabled(
            "the proxy asks from its own address",
            _settings(transparent=False),
            "the world saw the endpoint's own address",
        ),
    ),
    "04": (Disabled("nobody takes mappings", _AGENT_GONE, "the kernel learns from answers"),),
    "05": (
        Disabled(
            "the agent is not killed",
            _AGENT_LIVES,
            "a new address is not let in while the agent",
        ),
    ),
    "06": (Disabled("upgrades have no surge", _NO_SURGE, "an upgrade with surge loses nothing"),),
    "07": (
        Disabled(
            "there are no collection passes",
            _settings(collection_interval=36000.0),
            "a zombie keeps its flows and takes no new ones",
        ),
    ),
    "08": (Disabled("answers are never held", _settings(hold=0.0), "no first packet is lost"),),
    "09": (
        Disabled(
            "each name has an address of its own",
            _OWN_ADDRESSES,
            "and the lab says that the address is shared",
        ),
    ),
    "10": (
        Disabled("the profile is always cilium", _settings(profile="cilium"), "profiles differ"),
    ),
    "11": (Disabled("no policy opens anything", _NOT_OPENED, "open DNS leaks names"),),
}
