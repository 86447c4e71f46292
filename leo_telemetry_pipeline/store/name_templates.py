"""Templates of names: a name with placeholders for the ids in it, such as ``GET /users/{id}`` for ``GET /users/4711``.

Belongs here: the only SQL that folds a name, and the key of a span once some templates are folded.
Does not: which templates are folded (history.name_folding), storing that (folded_names).
"""

from dataclasses import dataclass

from leo_telemetry_pipeline.dimension import Dimension

# Only names with one of these characters can hold an id.
MAY_HOLD_IDS = r"[0-9/\\]"

_UUID = "[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
_UUID_SHAPE = "________-____-____-____-____________"
# Mixed digits and letters: hexadecimal codes at least as long as a short commit hash; other codes at least as long as a
# random id and with digits in two places, unlike words (sendEmailV2ToUser). Hashes of digits only count as numbers.
_HEXADECIMAL = "(?=[a-fA-F]*[0-9])(?=[0-9]*[a-fA-F])[0-9a-fA-F]{7,}"
_MIXED = f"{_HEXADECIMAL}|(?=[a-zA-Z]*[0-9]+[a-zA-Z]+[0-9])[0-9a-zA-Z]{{8,}}"
_HASH = f"(?<![[:alnum:]])(?:0[xX][0-9a-fA-F]+|{_MIXED})(?![[:alnum:]])"
# Prefilters: every name with a hash matches both. PostgreSQL builds the states of an automaton anew for each name, so
# loops are much faster than repetitions with a count.
_BESIDE = "[0-9][a-zA-Z]|[a-zA-Z][0-9]"
_LONG = "[[:alnum:]]{7}|0[xX]"
# Numbers, dates, times, versions and addresses. Up to two digits behind a letter are a part of a word: v1, s3, step12.
_NUMBER = "(?:(?<![[:alnum:]])[0-9]+|(?<![0-9])[0-9]{3,}(?![[:alnum:]]))(?:[-.:_T][0-9]+)*"
_ROOTS = "/(?:home|tmp|var|usr|opt|etc|mnt|srv|root|data|private|workspace|Users)"
_FOLDERS = r"(?:[/\\][^[:space:]/\\]+)"
_PATH = (
    rf"(?:{_ROOTS}|~|(?<![[:alnum:]])[A-Za-z]:){_FOLDERS}+[/\\]?"
    rf"|[[:alnum:]_.{{}}@-]*{_FOLDERS}*[/\\][^[:space:]/\\]+[.][A-Za-z][A-Za-z0-9]{{0,7}}(?![[:alnum:]])"
)
# Routes and URLs are not files: each of their segments means something.
_NO_FILE = "^(?:HTTP )?(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE) |://"


# Span type, key and attribute: spans of this key are also counted per value of the attribute.
Slice = tuple[str, str, str]


@dataclass(frozen=True)
class Folds:
    """Decisions on names, by span type: ``templates`` whose names are folded, and names ``kept`` unfolded.

    ``slices``: the only names that are counted in dimension types such as ``operation+host``.
    """

    templates: frozenset[Dimension] = frozenset()
    kept: frozenset[Dimension] = frozenset()
    slices: frozenset[Slice] = frozenset()

    def parameters(self) -> dict[str, object]:
        """Return the query parameters of ``key``."""
        return {
            "folded_types": sorted({span_type for span_type, _ in self.templates}),
            "folded_templates": sorted(map(":".join, self.templates)),
            "kept_names": sorted(map(":".join, self.kept)),
        }


def template(name: str) -> str:
    """Return SQL for the template of ``name``, an SQL expression; ``%`` is doubled, for queries with parameters."""
    without_uuids = (
        f"CASE WHEN {name} LIKE '%%{_UUID_SHAPE}%%' THEN regexp_replace({name}, '{_UUID}', '{{uuid}}', 'g')"
        f" ELSE {name} END"
    )
    without_hashes = (
        f"CASE WHEN {name} ~ '{_BESIDE}' AND {name} ~ '{_LONG}'"
        f" THEN regexp_replace({without_uuids}, '{_HASH}', '{{id}}', 'g') ELSE {without_uuids} END"
    )
    without_ids = (
        f"CASE WHEN {name} ~ '[0-9]' THEN regexp_replace({without_hashes}, '{_NUMBER}', '{{id}}', 'g') ELSE {name} END"
    )
    return (
        f"CASE WHEN {name} !~ '{MAY_HOLD_IDS}' THEN {name}"
        f" WHEN {_ends_in_uuid(name)} THEN left({name}, -36) || '{{uuid}}'"
        rf" WHEN {name} !~ '[/\\]' OR {name} ~ '{_NO_FILE}' THEN {without_ids}"
        f" ELSE regexp_replace({without_ids}, '{_PATH}', '{{path}}', 'g') END"
    )


def _ends_in_uuid(name: str) -> str:
    """Return SQL for whether a name is a UUID behind a text without ids, which takes a fraction of matching _UUID."""
    uuid = f"right({name}, 36)"
    return (
        f"({name} LIKE '%%{_UUID_SHAPE}' AND {uuid} !~ '[^0-9a-fA-F-]' AND length(replace({uuid}, '-', '')) = 32"
        f" AND left({name}, -36) !~ '{MAY_HOLD_IDS}')"
    )


def key(span_type: str, name: str, of_name: str = "") -> str:
    """Return SQL for the key of a span with this type and name: its template if that is folded, else its name.

    ``of_name`` is SQL for the template, if it is known.
    """
    of_type = f"{span_type} || ':' ||"
    folded = of_name or template(name)
    return (
        f"CASE WHEN NOT {span_type} = ANY(%(folded_types)s::text[])"
        f" OR {of_type} {name} = ANY(%(kept_names)s::text[]) THEN {name}"
        f" WHEN {of_type} {folded} = ANY(%(folded_templates)s::text[]) THEN {folded} ELSE {name} END"
    )
