"""The ledger: the only door of Postgres (asyncpg) and of named SQL (aiosql)."""

from ivr.ledger.ledger import Ledger

__all__ = ["Ledger"]
