"""The firewall: minirun's own nftables tables, and accept rules in the rule sets of other firewalls (foreign/).

The rest of `network` calls tables.ensure and tables.withdraw around each start and stop, and foreign.ensure where a
host's firewall may drop forwarded packets. It reads the store and calls `kernel`; rules, elements, antispoof and policy
are pure functions of records, and nothing is read back from the kernel to decide what the tables should hold.
"""
