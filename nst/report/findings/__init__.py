"""What the studies found, in sentences and small tables that are filled from their numbers.

One `Section` a study: what was asked, how it was answered, what came out, what was chosen.  Both pages of the report
are drawn from these.  What was asked and how is prose; whatever states a result takes its numbers and its direction
from the tables.
"""

from nst.params import Params
from nst.report.findings import gallery, initialization, reconstruction, synthesis, transfer
from nst.report.findings.records import Results, Section


def sections(params: Params, results: Results) -> tuple[Section, ...]:
    """One section a study, in the order in which they build on each other."""
    studies = (reconstruction, synthesis, transfer, initialization, gallery)
    return tuple(study.section(params, results) for study in studies)
