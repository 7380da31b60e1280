"""What commands print: tables, JSON and Go templates in Docker's words; and the filters that choose the rows. Commands
call it; it calls no command."""
