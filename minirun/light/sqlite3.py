"""sqlite3 without the conversions of dates that it registers: those bring datetime, and no column here has any."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sqlite3 import Connection, Error, IntegrityError, OperationalError, Row, complete_statement, connect
else:
    from _sqlite3 import Connection, Error, IntegrityError, OperationalError, Row, complete_statement, connect

__all__ = ["Connection", "Error", "IntegrityError", "OperationalError", "Row", "complete_statement", "connect"]
