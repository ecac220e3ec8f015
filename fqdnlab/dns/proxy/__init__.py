"""The DNS proxy: a process of its own, unprivileged, alive whether the agent is or not (way 2).

`listen` and `tcp` take questions, `table` judges them, `upstream` and `tcp_upstream` ask, `answers`
holds and releases, `agent_link` speaks with the agent, `journal` keeps what it cannot hand over.
"""
