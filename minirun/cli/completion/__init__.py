"""What a shell offers at a Tab. The shells' own parts are the files beside this; they call minirun in click's way, with
_MINIRUN_COMPLETE set. Completion changes nothing: it makes no state root, repairs nothing, and offers nothing when it
fails. Only the command line's declarations use it; it reads the records by itself, without the store's locks."""
