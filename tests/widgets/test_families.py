from hypothesis import given
from hypothesis import strategies as st

from situation.findings import Finding, Severity
from tests.widgets.test_causes import finding
from widgets.families import SHOWN, FamilyKey, fold_families

ranked = st.lists(
    st.tuples(st.sampled_from(["crash-loop", "oom", "pull"]), st.sampled_from(list(Severity))), max_size=40
).map(lambda kinds: [finding(f"app-{n}", rule=rule, severity=grave) for n, (rule, grave) in enumerate(kinds)])


@given(ranked, st.sets(st.integers(0, 40)))
def test_no_cause_is_lost_or_told_twice_and_the_rank_stays(causes: list[Finding], chosen: set[int]) -> None:
    kept = {f"{cause.key}" for number, cause in enumerate(causes) if number in chosen}
    folded = fold_families(causes, kept)
    assert [cause for cause in causes if cause in folded.listed] == list(folded.listed)
    away = [cause for family in folded.families for cause in family.rest]
    assert sorted(cause.key for cause in (*folded.listed, *away)) == sorted(cause.key for cause in causes)
    assert not kept & {cause.key for cause in away}
    assert len({family.key for family in folded.families}) == len(folded.families)
    assert all(len(family.rest) > 1 for family in folded.families)


@given(ranked)
def test_three_of_each_family_are_listed_and_more_only_where_a_line_would_save_nothing(causes: list[Finding]) -> None:
    folded = fold_families(causes)
    for key in {FamilyKey(cause.rule, cause.severity) for cause in causes}:
        of_it = [cause for cause in causes if (cause.rule, cause.severity) == key]
        listed = [cause for cause in folded.listed if (cause.rule, cause.severity) == key]
        assert listed == (of_it if len(of_it) <= SHOWN + 1 else of_it[:SHOWN])


def test_one_rule_of_two_severities_makes_two_families() -> None:
    causes = [finding(f"a{n}", severity=grave) for grave in (Severity.CRITICAL, Severity.WARNING) for n in range(5)]
    assert [family.key.severity for family in fold_families(causes).families] == [Severity.CRITICAL, Severity.WARNING]


def test_a_cause_is_kept_for_the_sake_of_a_consequence_but_not_while_all_can_be_seen() -> None:
    selected = finding("b", rule="no-endpoints")
    causes = [*(finding(f"a{n}") for n in range(9)), finding("a9", selected)]
    assert causes[9] in fold_families(causes, {selected.key}).listed
    opened = {FamilyKey("crash-loop", Severity.CRITICAL)}
    assert causes[9] not in fold_families(causes, {selected.key}, opened).listed


def test_a_name_that_many_namespaces_share_is_told_once() -> None:
    (family,) = fold_families([finding("web") for _ in range(6)]).families
    assert family.text == "3 more crash-loop: web"
    assert family.count == 3
