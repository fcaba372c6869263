"""What is recorded: one SQLite database per state directory, and the locks beside it."""

from pycnm.store.database import Database, Transaction
from pycnm.store.locks import Locks

__all__ = ["Database", "Locks", "Transaction"]
