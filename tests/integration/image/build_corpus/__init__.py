"""Dockerfiles that minirun and Docker's classic builder build, to compare what they make of them."""

from tests.integration.image.build_corpus import archives, configuration, copies, execution, stages
from tests.integration.image.build_corpus.case import MTIME, Case, Fault, lay, text_of
from tests.integration.image.build_corpus.faulty import FAULTS

CASES: list[Case] = [*configuration.CASES, *execution.CASES, *copies.CASES, *archives.CASES, *stages.CASES]

__all__ = ["CASES", "FAULTS", "MTIME", "Case", "Fault", "lay", "text_of"]
