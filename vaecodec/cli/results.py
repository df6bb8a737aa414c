"""What became of the files of a run."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from vaecodec.cli.exits import Exit
from vaecodec.cli.paths import Job

Record = dict[str, object]
"""Facts about one file, as --json prints them."""


@dataclass
class Outcome:
    """What became of one job: a record, or an exit code and a line; and notes."""

    job: Job
    record: Record | None = None
    failure: tuple[Exit, str] | None = None
    skipped: bool = False
    notes: list[str] = field(default_factory=list)


@dataclass
class Results:
    """What became of the files, in the order of the jobs; those that were not reached are absent."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    page: Outcome | None = None
    """What is made of all files together, where that is asked for."""

    @property
    def ordered(self) -> list[Outcome]:
        return [self.outcomes[number] for number in sorted(self.outcomes)]

    @property
    def records(self) -> list[Record]:
        """The records of the files that were made now."""
        return [o.record for o in self.ordered if o.record is not None and not o.skipped]

    @property
    def skipped(self) -> list[Record]:
        return [o.record for o in self.ordered if o.record is not None and o.skipped]

    @property
    def failures(self) -> list[tuple[str, Exit, str]]:
        outcomes = self.ordered if self.page is None else [*self.ordered, self.page]
        return [(o.job.name, *o.failure) for o in outcomes if o.failure is not None]

    @property
    def notes(self) -> list[str]:
        outcomes = self.ordered if self.page is None else [*self.ordered, self.page]
        return [note for outcome in outcomes for note in outcome.notes]

    @property
    def exit_code(self) -> Exit:
        codes = {code for _, code, _ in self.failures}
        if len(codes) > 1:
            return Exit.SEVERAL
        return codes.pop() if codes else Exit.OK

    def as_json(self) -> str:
        failed = [
            {"source": name, "error": {"kind": code.name.lower(), "exit_code": int(code), "message": message}}
            for name, code, message in self.failures
        ]
        document: dict[str, object] = {"files": self.records, "failed": failed}
        if self.skipped:
            document["skipped"] = self.skipped
        if self.page is not None and self.page.record is not None:
            document["page"] = self.page.record
        return json.dumps(document, indent=2)
