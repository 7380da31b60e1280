"""What a user's reference to an object means: an id, a name, or the start of an id."""

import sqlite3


def rows_meant_by(db: sqlite3.Connection, table: str, reference: str) -> list[sqlite3.Row]:
    """Return the row with that id, else with that name, else all rows whose id starts with `reference`.

    An object may be named like the id of another one.
    """
    if not reference:
        return []
    exact: list[sqlite3.Row] = db.execute(
        f"select * from {table} where id = ?1 or name = ?1 order by id = ?1 desc limit 1", (reference,)
    ).fetchall()
    if exact or not reference.isalnum():  # so it holds no wildcard of LIKE
        return exact
    return db.execute(f"select * from {table} where id like ?", (reference.lower() + "%",)).fetchall()
