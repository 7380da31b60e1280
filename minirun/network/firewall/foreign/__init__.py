"""Other firewalls on the host: Docker's, ufw's, firewalld's, and rule sets of the administrator.

A forwarded packet passes the forward chains of all tables, and one that drops it is enough: "accept" in minirun's own
table does not help. Where a foreign chain drops what meets none of its conditions (detect.py, verdicts.py), minirun
adds accept rules (backends.py): to the chain that its owner provides for that, or else to that chain itself, behind all
rules that have a condition. So what the owner forbids by a rule of its own stays forbidden. Where minirun cannot change
the rules, it tells the user once what to do. The rules are recorded before they are made, carry the instance's name in
their comment, and exist while any container is in a network. Nothing else that belongs to others is changed.

The rest of `network` calls ensure, withdraw, remove_leftovers and remove_marked; `diagnostics` also calls detect.
"""

from minirun.network.firewall.foreign.accept_rules import ensure, remove_leftovers, remove_marked, withdraw

__all__ = ["ensure", "remove_leftovers", "remove_marked", "withdraw"]
