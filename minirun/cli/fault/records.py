"""minirun fault ls, fault rm."""

from typing import Annotated

from typer import Argument, Option

from minirun.cli.completion.values import faults as fault_ids
from minirun.cli.each import for_each
from minirun.cli.output.format import Columns, Row, print_rows
from minirun.cli.parameters import NONE, TableFormat
from minirun.cli.session import commands, open_instance
from minirun.cli.template.values import Time
from minirun.errors import MinirunError
from minirun.instance import Instance
from minirun.model import Fault
from minirun.network import faults
from minirun.options.values import timestamp

_COLUMNS = Columns(
    {"ID": "FAULT ID", "Kind": "KIND", "Container": "CONTAINER", "Network": "NETWORK", "What": "WHAT"}, "ID"
)
app = commands()


@app.command("ls")
def ls(
    form: TableFormat = "",
    quiet: Annotated[bool, Option("--quiet", "-q", help="Only display fault IDs")] = False,
) -> None:
    """List the faults in force."""
    instance = open_instance()
    rows = [_row(instance, fault) for fault in instance.store.faults_in_force()]
    print_rows(rows, _COLUMNS, form, quiet, {"CreatedAt": "CREATED AT"})


@app.command("rm")
def rm(
    ids: Annotated[list[str], Argument(metavar="[FAULT...]", autocompletion=fault_ids)] = NONE,
    everything: Annotated[bool, Option("--all", "-a", help="Heal all faults")] = False,
) -> int:
    """Heal faults: the network is as it was before."""
    if bool(ids) == everything:
        raise MinirunError("give faults, or --all")
    instance = open_instance()
    chosen = [fault.id for fault in instance.store.faults()] if everything else ids
    return for_each(chosen, lambda reference: faults.heal(instance, faults.find(instance, reference)))


def _row(instance: Instance, fault: Fault) -> Row:
    container, network = faults.names(instance, fault)
    return {
        "ID": fault.id,
        "Kind": str(fault.kind),
        "Container": container,
        "Network": network,
        "What": fault.text,
        "CreatedAt": Time(timestamp(int(fault.created * 1e9))).words(),
    }
