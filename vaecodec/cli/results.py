"""What became of the files of a run."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field

from vaecodec.cli.exits import SHORT, Exit
from vaecodec.cli.jobs import Job

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

    total: int = 0
    """Jobs of the run."""
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    page: Outcome | None = None
    """What is made of all files together, where that is asked for."""
    stop: Exit | None = None
    """What ended the run before its time."""

    @property
    def ordered(self) -> list[Outcome]:
        """The outcomes in the order of the jobs."""
        return [self.outcomes[number] for number in sorted(self.outcomes)]

    @property
    def records(self) -> list[Record]:
        """The records of the files that were made now."""
        return [o.record for o in self.ordered if o.record is not None and not o.skipped]

    @property
    def skipped(self) -> list[Record]:
        """The records of what was left out."""
        return [o.record for o in self.ordered if o.record is not None and o.skipped]

    @property
    def failures(self) -> list[tuple[str, Exit, str]]:
        """Source, exit code and message of each job that failed."""
        outcomes = self.ordered if self.page is None else [*self.ordered, self.page]
        return [(o.job.name, *o.failure) for o in outcomes if o.failure is not None]

    @property
    def exit_code(self) -> Exit:
        """The exit code of the whole run."""
        if self.stop is not None:
            return self.stop
        codes = {code for _, code, _ in self.failures}
        if len(codes) > 1:
            return Exit.SEVERAL
        return codes.pop() if codes else Exit.OK

    @property
    def failure_line(self) -> str | None:
        """How many of several files failed, and of what; None where none did, or there was one file only."""
        failures = self.failures
        if self.total < 2 or not failures:
            return None
        counts = Counter(code for _, code, _ in failures)
        kinds = ", ".join(f"{count} {SHORT[code]}" for code, count in sorted(counts.items()))
        return f"{len(failures)} of {self.total} files failed: {kinds}"

    @property
    def stop_line(self) -> str | None:
        """Where an interrupted run stands, and how to go on; None for one that ended by itself."""
        if self.stop is None:
            return None
        word = "terminated" if self.stop is Exit.TERMINATED else "interrupted"
        if self.total < 2:
            return word
        done, failed = len(self.records) + len(self.skipped), len(self.failures)
        left = self.total - len(self.outcomes)
        return f"{word}: {done} done, {failed} failed, {left} left"

    def as_json(self) -> str:
        """The results as one JSON document."""
        failed = [
            {"source": name, "error": {"kind": code.name.lower(), "exit_code": int(code), "message": message}}
            for name, code, message in self.failures
        ]
        document: dict[str, object] = {"files": self.records, "failed": failed}
        if self.skipped:
            document["skipped"] = self.skipped
        if self.page is not None and self.page.record is not None:
            document["page"] = self.page.record
        if self.stop is not None:
            document["stopped"] = {"exit_code": int(self.stop), "left": self.total - len(self.outcomes)}
        return json.dumps(document, indent=2)
