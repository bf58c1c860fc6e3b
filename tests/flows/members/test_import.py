"""Members and opening balances from a file: each row once, and none lost."""

import asyncio
import csv
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from engage.decoding.csv_text import InvalidFile
from engage.domain.refusals import Refusal
from engage.flows.activities.record import record
from engage.flows.members.import_file import (
    RejectedFile,
    Row,
    check_file,
    import_name,
    read_cells,
    rows_of,
)
from engage.flows.members.import_members import ImportCounts, import_members
from engage.flows.members.import_rows import Rejections
from engage.flows.members.register import MemberRegistration, register_member
from engage.flows.scheduled.settle import settle_due
from engage.runtime.services import Services
from engage.settings import Settings
from engage.store.members.persons import person_hashes
from tests.support.activities import FIRST, PROGRAM, act, join, tap
from tests.support.audit import assert_audit_is_clean
from tests.support.clock import NOON, advance
from tests.support.database import rows
from tests.support.programs import services_with

HEADER = "member_id,country,birth_date,kind,person_ref,phone,card_numbers,points,expires_at,earned_at\n"


def write_file(folder: Path, text: str, name: str = "members.csv") -> Path:
    file = folder / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def many(count: int) -> str:
    return HEADER + "".join(f"i-{n},ES,,,person {n},,C-{n:04d},{n % 7 * 10},,\n" for n in range(count))


async def import_file(
    services: Services,
    file: Path,
    *,
    name: str = "old",
    rows_per_batch: int = 100,
    stop_after: int | None = None,
) -> tuple[ImportCounts, dict[int, str]]:
    """Return (counts, reasons by line)."""
    reasons: dict[int, str] = {}

    def on_rejected(bad: Rejections) -> None:
        reasons.update({row.line: reason for row, reason in bad})

    def on_progress(counts: ImportCounts) -> None:
        if stop_after is not None and counts.rows >= stop_after:
            raise KeyboardInterrupt

    table = check_file(file)
    counts = await import_members(
        services,
        table,
        program_id=PROGRAM,
        name=name,
        on_rejected=on_rejected,
        on_progress=on_progress,
        rows_per_batch=rows_per_batch,
    )
    assert counts.rows == table.rows == counts.imported + counts.existing + counts.rejected
    assert counts.rejected == len(reasons)
    return counts, reasons


async def test_members_are_imported_with_balances_that_pass_the_audit(
    services: Services, tmp_path: Path
) -> None:
    file = write_file(tmp_path, many(1000))
    counts, reasons = await import_file(services, file)
    points = sum(n % 7 * 10 for n in range(1000))
    assert counts == ImportCounts(1000, 1000, 0, 0, 1000, points)
    assert reasons == {}
    assert await rows(services.db, "SELECT count(*), sum(active), sum(pending) FROM balances") == [
        (1000, points, 0)
    ]
    assert await rows(services.db, "SELECT count(*) FROM card_numbers") == [(1000,)]
    assert await rows(services.db, "SELECT DISTINCT kind, house_account, reference FROM entries") == [
        ("opening", "opening", "opening:old")
    ]
    # They are ordinary members, and earned nothing for registering.
    await record(services, [act(services, tap(), "i-5")])
    await settle_due(services, now=advance(services, timedelta(hours=1)))
    assert await rows(services.db, "SELECT active, pending FROM balances WHERE member_id = 'i-5'") == [
        (52, 0)
    ]
    await assert_audit_is_clean(services)
    assert await rows(services.db, "SELECT * FROM outbox") == []


async def test_a_stopped_import_continues_and_doubles_nothing(services: Services, tmp_path: Path) -> None:
    file = write_file(tmp_path, many(500))
    with pytest.raises(KeyboardInterrupt):
        await import_file(services, file, stop_after=200)
    assert await rows(services.db, "SELECT count(*) FROM members") == [(200,)]
    with pytest.raises(KeyboardInterrupt):
        await import_file(services, file, rows_per_batch=70, stop_after=300)
    counts, _ = await import_file(services, file)
    assert (counts.imported, counts.existing) == (500 - 350, 350)
    again, _ = await import_file(services, file)
    assert again == ImportCounts(500, 0, 500, 0, 0, 0)
    assert await rows(services.db, "SELECT sum(active) FROM balances") == [
        (sum(n % 7 * 10 for n in range(500)),)
    ]
    await assert_audit_is_clean(services)


async def test_bad_rows_are_rejected_by_line_and_the_others_imported(
    services: Services, tmp_path: Path
) -> None:
    await register_member(
        services,
        MemberRegistration(
            member_id="m-1", program=PROGRAM, country="ES", person_ref="juan", card_numbers=["CARD-1"]
        ),
    )
    await join(services, "m-2", "GB")
    lines = [
        "ok-1,ES,1990-02-28,person,p1,,OLD-1;OLD-2,100,,",
        "bad id!,ES,,,,,,1,,",
        "i-4,DE,,,,,,1,,",
        "i-5,ES,2020-01-01,,,,,1,,",
        "i-6,ES,,company,,,,1,,",
        "i-7,ES,,,juan,,,1,,",
        "i-8,ES,,,,,CARD-1,1,,",
        "i-9,ES,,,,,,ten,,",
        "i-10,ES,,,,,,-3,,",
        "i-11,ES,,,,,,1,2026-11-01,",
        "i-12,ES,,,,,,1,,2026-12-24",
        "i-13,ES,,,,,,1,tomorrow,",
        "ok-1,ES,,,,,,5,,",
        "i-15,ES,,,p1,,,1,,",
        "i-16,ES,,,,,OLD-2,1,,",
        "i-17,ES,1990-13-01,,,,,1,,",
        "m-2,ES,,,,,,1,,",
        "i-19,ES,,,,,,1,,,,",
        "m-1,ES,,,,,,70,,",
        "ok-2,GB,,,,,OLD-3,,,",
    ]
    counts, reasons = await import_file(services, write_file(tmp_path, HEADER + "\n".join(lines) + "\n"))
    assert (counts.imported, counts.members, counts.points, counts.rejected) == (3, 2, 170, 17)
    expected = {
        3: "column member_id: expected the shop's id of a member",
        4: "not_eligible: country",
        5: "not_eligible: under_age",
        6: "not_eligible: company",
        7: "person_has_account",
        8: "card_taken: CARD1",
        9: 'column points: expected a whole number from 0 to 1000000000, got "ten"',
        10: 'column points: expected a whole number from 0 to 1000000000, got "-3"',
        11: "expires_at 2026-11-01: these points have expired",
        12: "earned_at 2026-12-24: in the future",
        13: "expires_at tomorrow: neither a date nor a time",
        14: "line 2 has ok-1 already",
        15: "person_has_account",
        16: "card_taken: OLD2",
        17: 'column birth_date: expected a date, such as 2022-09-01, got "1990-13-01"',
        18: "m-2 is a member in GB",
        19: "12 fields and not 10",
    }
    assert reasons.keys() == expected.keys()
    for line, reason in expected.items():
        assert reasons[line].startswith(reason), reasons[line]
    found = await rows(services.db, "SELECT member_id, active FROM balances WHERE active > 0 ORDER BY 1")
    assert found == [("m-1", 70), ("ok-1", 100)]
    await assert_audit_is_clean(services)


async def test_what_is_no_whole_number_is_rejected_with_line_and_column(
    services: Services, tmp_path: Path
) -> None:
    wrong = ["1e3", "1E3", "350.0", "350.", "349.9999999", "+5", "-0", "-5", "007", "0x10", "1000000001"]
    wrong += [" 5", "5 ", " ", "1 000", "1\u00a0000", "1\u202f000", "1,000", "1.000", "1'000", "1_000"]
    wrong += ["٣٥٠", "\uff13\uff15\uff10", "²", "Ⅷ", "1e400", "9" * 5_000, "true", "NaN", "ten"]
    text = "member_id,country,points\n" + "".join(f'm-{n},ES,"{cell}"\n' for n, cell in enumerate(wrong))
    counts, reasons = await import_file(services, write_file(tmp_path, f"{text}a,ES,5\nb,ES,0\nc,ES,\n"))
    assert (counts.imported, counts.points) == (3, 5)
    assert reasons.keys() == set(range(2, 2 + len(wrong)))
    for reason in reasons.values():
        assert reason.startswith("column points: expected a whole number from 0 to 1000000000, got ")
    found = await rows(services.db, "SELECT member_id, active FROM balances ORDER BY 1")
    assert found == [("a", 5), ("b", 0), ("c", 0)]


async def test_a_rejected_row_lists_all_of_its_mistakes(services: Services, tmp_path: Path) -> None:
    text = "points,country,birth_date,member_id\n350.0,Spain,yesterday,a b\n"
    _, reasons = await import_file(services, write_file(tmp_path, text))
    assert reasons[2].count("column ") == 4
    columns = [problem.partition(":")[0] for problem in reasons[2].split("; ")]
    assert columns == ["column points", "column country", "column birth_date", "column member_id"]


async def test_points_expire_by_the_file_or_else_by_the_program(services: Services, tmp_path: Path) -> None:
    text = "member_id,country,points,expires_at,earned_at\n"
    text += "a,ES,1,2027-06-30,2025-01-31\nb,ES,1,2027-06-30T12:00:00+02:00,2025-01-31T00:00:00Z\nc,ES,1,,\n"
    await import_file(services, write_file(tmp_path, text))
    found = await rows(
        services.db,
        """
        SELECT c.member_id, c.activity_at, c.active_at, l.expires_at
        FROM credits c JOIN lots l ON l.credit_id = c.id ORDER BY 1
        """,
    )
    assert [row[:1] + tuple(str(at) for at in row[1:]) for row in found] == [
        # Days in Madrid: two hours ahead of UTC in summer, one in winter.
        ("a", "2025-01-30 23:00:00+00:00", str(NOON), "2027-06-30 22:00:00+00:00"),
        ("b", "2025-01-31 00:00:00+00:00", str(NOON), "2027-06-30 10:00:00+00:00"),
        ("c", str(NOON), str(NOON), "2027-11-21 12:00:00+00:00"),
    ]


async def test_a_member_gets_one_opening_balance_per_import_name(services: Services, tmp_path: Path) -> None:
    text = "member_id,country,points\na,ES,{}\n"
    await import_file(services, write_file(tmp_path, text.format(10)))
    _, reasons = await import_file(services, write_file(tmp_path, text.format(11)))
    assert reasons == {2: "a has an opening balance of 10 points by old already"}
    counts, _ = await import_file(services, write_file(tmp_path, text.format(11)), name="other")
    assert (counts.imported, counts.members) == (1, 0)
    assert await rows(services.db, "SELECT active FROM balances") == [(21,)]


async def test_an_opening_balance_pays_a_debt_first(services: Services, tmp_path: Path) -> None:
    await join(services)
    async with services.db.begin() as conn:
        await conn.exec_driver_sql("UPDATE balances SET debt = 30")
    await import_file(services, write_file(tmp_path, "member_id,country,points\nm-1,ES,100\n"))
    assert await rows(services.db, "SELECT active, debt FROM balances") == [(70, 0)]


async def test_erased_and_merged_members_get_nothing(services: Services, tmp_path: Path) -> None:
    await join(services)
    async with services.db.begin() as conn:
        await conn.exec_driver_sql("UPDATE members SET erased_at = now()")
    _, reasons = await import_file(services, write_file(tmp_path, "member_id,country,points\nm-1,ES,100\n"))
    assert "erased" in reasons[2]


async def test_concurrent_imports_import_each_member_once(
    services: Services, other: Services, tmp_path: Path
) -> None:
    file = write_file(tmp_path, many(400))
    found = await asyncio.gather(
        import_file(services, file, rows_per_batch=50), import_file(other, file, rows_per_batch=70)
    )
    assert sum(counts.imported for counts, _ in found) == 400
    assert await rows(services.db, "SELECT count(*), sum(active) FROM balances") == [
        (400, sum(n % 7 * 10 for n in range(400)))
    ]


async def test_an_unknown_program_is_refused(services: Services, tmp_path: Path) -> None:
    table = check_file(write_file(tmp_path, many(1)))
    with pytest.raises(Refusal, match="unknown_program"):
        await import_members(
            services,
            table,
            program_id="nowhere",
            name="x",
            on_rejected=lambda _: None,
            on_progress=lambda _: None,
        )


def test_files_of_spreadsheets_are_read(tmp_path: Path) -> None:
    text = '\ufeff"Member_ID",country,person_ref,points\r\n\r\na,ES,"Dr. ""X"", of\r\nMadrid",5\r\nb,FR,,\r\n'
    table = check_file(write_file(tmp_path, text))
    assert (table.columns, table.rows) == (["member_id", "country", "person_ref", "points"], 2)
    first, second = rows_of(table)
    assert read_cells(table, first) == {
        "member_id": "a",
        "country": "ES",
        "person_ref": 'Dr. "X", of\r\nMadrid',
        "points": "5",
    }
    assert (first.line, second.line) == (3, 5)
    assert read_cells(table, second) == {"member_id": "b", "country": "FR"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty; it begins with a line of column names"),
        (b"PK\x03\x04 and so on", "a spreadsheet"),
        ("member_id,country\n".encode("utf-16"), "not text in UTF-8"),
        (b"member_id;country;points\n", "separated by semicolons"),
        (b"member_id\tcountry\n", "separated by tabs"),
        (b"member_id,points\n", "there is no column country"),
        (b"member,country\n", "member is no column; did you mean member_id?"),
        (b"member_id,country,country\n", "there are 2 columns country"),
        (b'member_id,country\na,ES\nb,"ES\nc,ES\n', "line 3: unexpected end of data; is a quotation"),
        (b"member_id,country\na," + b"x" * 10_000 + b"\n", "line 2: field larger than field limit"),
    ],
)
def test_a_file_that_is_not_csv_is_refused_completely(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "members.csv"
    file.write_bytes(content)
    with pytest.raises(InvalidFile, match=message.replace("?", ".")):
        check_file(file)


async def test_a_row_that_is_not_utf8_is_rejected(services: Services, tmp_path: Path) -> None:
    file = tmp_path / "members.csv"
    file.write_bytes(b"member_id,country,person_ref\na,ES,Jos\xe9\nb,ES,Jos\xc3\xa9\n")
    counts, reasons = await import_file(services, file)
    assert (counts.imported, reasons) == (1, {2: "not UTF-8"})
    table = check_file(file)
    kept = RejectedFile(table)
    kept.add([(next(rows_of(table)), "not UTF-8")])
    assert b"a,ES,Jos\xe9,2,not UTF-8" in kept.path.read_bytes()


async def test_corrected_rejected_rows_are_imported(services: Services, tmp_path: Path) -> None:
    file = write_file(tmp_path, "member_id,country,points\na,ES,5\nb,ES,five\n")
    table = check_file(file)
    kept = RejectedFile(table)
    kept.add([(Row(3, ["b", "ES", "five"]), "points five: no number")])
    with kept.path.open(newline="") as opened:
        assert list(csv.reader(opened)) == [
            ["member_id", "country", "points", "line", "reason"],
            ["b", "ES", "five", "3", "points five: no number"],
        ]
    kept.path.write_text(kept.path.read_text().replace("ES,five", "ES,5"))
    assert import_name(kept.path) == import_name(file) == "members"
    counts, _ = await import_file(services, kept.path, name=import_name(kept.path))
    assert counts.imported == 1
    assert not RejectedFile(table).path.exists(), "an earlier run's is not left to be taken for this one's"


async def test_a_person_is_one_however_files_write_the_reference(services: Services, tmp_path: Path) -> None:
    lines = ["i-1,ES,,,DNI 1,,,,,", "i-2,ES,,,ｄｎｉ\u00a0１,,,,,", "i-3,ES,,,dni-1,,,,,"]
    _, reasons = await import_file(services, write_file(tmp_path, HEADER + "\n".join(lines)))
    assert reasons == {3: "person_has_account"}


async def test_a_file_brings_the_references_of_members_who_joined_before_they_had_one_form(
    services: Services, tmp_path: Path
) -> None:
    """Their hashes were stored of the references as they were sent, and cannot be changed without them."""
    await import_file(services, write_file(tmp_path, HEADER + "i-1,ES,,,DNI 1,,,,,\ni-2,ES,,,x,,,,,\n"))
    peppers = services.settings.peppers
    as_sent = [person_hashes(ref, program_id=PROGRAM, peppers=peppers)[1][0] for ref in ("DNI 1", "dni  1")]
    async with services.db.begin() as conn:
        for member_id, hashed in zip(("i-1", "i-2"), as_sent, strict=True):
            values = {"hashed": hashed, "id": member_id}
            await conn.execute(text("UPDATE members SET person_hash = :hashed WHERE member_id = :id"), values)
    # The same file again changes nothing but the hash, of one of two who are one person.
    file = write_file(tmp_path, HEADER + "i-1,ES,,,DNI 1,,,,,\ni-2,ES,,,dni  1,,,,,\ni-3,ES,,,d n i 1,,,,,\n")
    for _ in range(2):
        counts, _ = await import_file(services, file)
        assert (counts.existing, counts.members, counts.rejected) == (2, 0, 1)
    one_form, _ = person_hashes("dni1", program_id=PROGRAM, peppers=peppers)
    assert await rows(services.db, "SELECT person_hash FROM members ORDER BY member_id") == [
        (one_form,),
        (as_sent[1],),
    ]


async def test_new_members_of_a_file_are_known_persons_where_the_rules_want_it(
    settings: Settings, tmp_path: Path
) -> None:
    strict = FIRST.replace('person_ref = "optional"', 'person_ref = "required"')
    async with services_with(settings, strict) as services:
        await register_member(
            services, MemberRegistration(member_id="i-1", program=PROGRAM, country="ES", person_ref="p1")
        )
        file = write_file(
            tmp_path, HEADER + "i-1,ES,,,,,,7,,\ni-2,ES,,,,,,7,,\ni-3,ES,1899-12-31,,p3,,,7,,\n"
        )
        counts, reasons = await import_file(services, file)
        # A member who is known already gets the opening balance.
        assert (counts.imported, counts.members, counts.points) == (1, 0, 7)
        assert reasons == {3: "person_ref_required", 4: "invalid_birth_date"}
