"""Trace one real packet: send it, see it at every interface, follow it through every rule. Also: capture packets.

outside_host.py  a temporary host with its own veth pair to this host, as the sender for "outside"
endpoints.py     parses source and target of the command
journey.py       where the packet was seen, and the diagnosis, as plain data
probe.py         sends the packet and observes it
reasons.py       from the journey to one sentence: it arrived, or where and why it was lost, and what would allow it
rule_reasons.py  the same for a packet that a rule dropped
report.py        the journey as text and as JSON
pcap.py          captured packets as lines and as a pcap file
"""
