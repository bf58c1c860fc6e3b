"""Operations of an operator: installation and migration, audit, rebuild of the gate, API keys, health.

May import `domain`, `runtime`, `gate`, `ledger`, `store`, `flows.programs`,
`flows.definitions` and `flows.activities`.
"""
